"""How a service talks to an apiserver: REST client, informer, work queue, controllers, leader election."""

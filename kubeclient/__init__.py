"""How a service talks to an apiserver: REST client, reflector, informer, work queue, controller runner, leader election."""

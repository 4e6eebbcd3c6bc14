"""The pure core of the proxy: Services and EndpointSlices in, nftables text out.

`service_map` flattens the API objects, `endpoints` chooses who may answer, `ruleset` turns both into named chains and
map elements, `transaction` writes the text that leads from one ruleset to the next. Nothing here runs a command, reads
a clock or touches a socket.
"""

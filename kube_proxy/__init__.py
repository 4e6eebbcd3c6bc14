"""Makes Services reachable on a node: nftables rules from Services and EndpointSlices, and routes between nodes."""

"""EndpointSlices and Endpoints: the addresses behind each Service that has a selector."""

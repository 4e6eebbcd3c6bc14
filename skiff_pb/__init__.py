"""Protocol buffer messages generated from `proto/` by `make proto`: never edited by hand.

Services are described by their descriptors (`rpc_pb2.DESCRIPTOR.services_by_name`); `component_base.rpc` hosts and
calls them.
"""

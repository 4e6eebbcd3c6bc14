"""gRPC over HTTP/2 on asyncio transports, for services whose calls are small and many.

`headers` decodes and encodes header blocks, `connection` is what both ends share (frames, flow control, keep-alive),
`host` serves `rpc.Service` objects and `channel` calls them: both stand in for grpcio's (`grpc_host`, `grpc_channel`).
"""

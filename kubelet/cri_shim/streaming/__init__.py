"""The HTTP end of exec, attach and port-forward: SPDY/3.1 and WebSocket channels end here and nowhere else."""

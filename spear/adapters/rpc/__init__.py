"""The gRPC door: translate messages into service calls and back, and decide nothing; only `server` touches sockets."""

"""What someone may ask for: load, tell, commit. Nothing here knows HTTP, gRPC, gevent or SQL."""

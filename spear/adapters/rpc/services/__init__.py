"""One file for each gRPC service, or for those of one noun."""

"""Aggregates: what is allowed, and what happened. Nothing here reads a clock, a random source, a view or a file."""

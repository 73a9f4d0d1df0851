"""The event bus on ZeroMQ: nothing here is kept for a reader; what it missed it asks for again."""

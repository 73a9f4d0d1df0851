"""What each role starts, and nothing else: listeners and loops, in order, closed in reverse."""

"""What each role stands on and starts, and nothing else: listeners and loops, in order, closed in reverse."""

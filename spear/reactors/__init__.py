"""What follows from what happened: reactors watch, act on the world and command; they keep no truth of their own."""

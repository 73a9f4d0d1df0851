"""Commands for people at a terminal: nothing here writes to a log behind a server's back."""

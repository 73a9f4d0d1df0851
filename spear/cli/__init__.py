"""Commands for people at a terminal: nothing here changes a log that a server may be using."""

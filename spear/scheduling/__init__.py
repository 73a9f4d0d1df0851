"""Policy as functions of a snapshot: no I/O, no clock, ties broken by id so that replays agree."""

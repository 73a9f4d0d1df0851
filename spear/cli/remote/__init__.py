"""The `spear` command: all it knows it heard over REST; nothing here opens a log, a view or a service."""

"""The append-only log itself: nothing here ever changes or removes a recorded event, or acknowledges one early."""

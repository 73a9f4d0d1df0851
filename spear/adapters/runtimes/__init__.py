"""Ways to run executables: whatever a guest does ends as an outcome, never as an exception or a blocked hub."""

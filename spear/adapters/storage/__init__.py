"""Bytes on this machine's disk, and executables from wherever they are."""

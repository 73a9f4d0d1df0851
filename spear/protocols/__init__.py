"""Byte formats: nothing here opens, reads or decides anything."""

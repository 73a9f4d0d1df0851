"""The messages of proto/spearlet."""

"""SPEAR: a single-process, event-sourced platform that runs AI agents; everything that happens is a fact in one log."""

__version__ = "0.1.0"

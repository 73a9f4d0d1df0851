"""The web admin: it knows only what any REST client can ask, and has no private door into the platform."""

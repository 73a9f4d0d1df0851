"""How model backends are asked; nothing here chooses one or tells anybody its key."""

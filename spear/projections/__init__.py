"""Views: what is true now, or was at a position. Folds never fail, yield or command; rows can be rebuilt at any time."""

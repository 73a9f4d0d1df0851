"""One file per REST resource; the table in `app.py` lists them."""

"""HTTP: schema in, service call, row out; errors are rendered in one place."""

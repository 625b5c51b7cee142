"""Documents made of results."""

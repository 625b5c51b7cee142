"""Models of any kind behind one protocol."""

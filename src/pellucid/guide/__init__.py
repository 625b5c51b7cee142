"""The map from a need to the methods that serve it."""

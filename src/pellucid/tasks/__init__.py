"""What a model is for: preparation and its inverse, bounds, labels, features."""

"""Where in the maps of a layer the evidence lies: activations weighted by what they do to the score."""

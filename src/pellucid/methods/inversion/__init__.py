"""What a representation keeps: inputs made from codes, and generators that make them."""

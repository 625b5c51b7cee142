"""What would have to change for people in a census, and for digits, to be judged otherwise."""

"""What units, layers and classes respond to, shown by examples and by pictures that were made for them."""

"""Small trainable models, and the networks that the zoo's subjects are made of, with their weights."""

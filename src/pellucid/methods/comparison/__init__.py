"""How far explanations say the same, and how far they serve a reader in a stated context."""

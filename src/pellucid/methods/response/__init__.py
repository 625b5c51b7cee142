"""How the answer changes when inputs change: response curves, and edits that are asked again."""

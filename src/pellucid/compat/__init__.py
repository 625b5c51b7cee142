"""Other libraries' names and call shapes on Pellucid's engine: a script changes one import."""

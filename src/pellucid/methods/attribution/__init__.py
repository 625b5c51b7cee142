"""Why this output for this input: scores per feature."""

"""Shapley values: what each feature brings, averaged over all ways in which the others can be there."""

"""Digits that are changed stroke by stroke, to see whether relevance told the truth."""

"""Simple models fitted around one decision."""

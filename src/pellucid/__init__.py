"""Pellucid: a Subject is asked a Query by a Method and answers with a Result."""

__version__ = "0.1.0"

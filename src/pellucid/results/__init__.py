"""Results: data only, one class per kind."""

"""One file per method, a folder per family."""

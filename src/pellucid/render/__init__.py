"""Pictures, pages and terminal views of results."""

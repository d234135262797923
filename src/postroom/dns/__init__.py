"""Names: the resolver port and what answers it."""

"""Compares what the DNS says with what it should say: each fault by name, with consequence and remedy."""

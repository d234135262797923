"""Decisions over mail at the moments of a session."""

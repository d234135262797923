"""Bytes: streams, listeners, TLS."""

"""DMARC: what the domain in From asks for, and whether the message is its (RFC 9989)."""

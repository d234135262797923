"""DKIM, verified and signed; one pass over the body for all signatures (RFC 6376, RFC 8301, RFC 8463)."""

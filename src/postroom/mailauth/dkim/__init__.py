"""DKIM signatures: made, read and verified (RFC 6376, RFC 8301, RFC 8463, RFC 8616)."""

"""SMTP and LMTP, both sides (RFC 5321, RFC 2033)."""

"""Whose mail it is: SPF, DKIM, DMARC and ARC, checked and signed (RFC 7208, RFC 6376, RFC 9989, RFC 8617)."""

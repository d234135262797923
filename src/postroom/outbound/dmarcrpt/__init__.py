"""DMARC aggregate reports: counts what came in as whose, and tells those domains once a day that ask (RFC 9990)."""

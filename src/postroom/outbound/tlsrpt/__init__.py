"""TLSRPT: counts what came of TLS with each domain, and reports it once a day to those that ask (RFC 8460)."""

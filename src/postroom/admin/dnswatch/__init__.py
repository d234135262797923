"""Looks at the DNS of all our domains again and again, and tells when what was right breaks, and is right again."""

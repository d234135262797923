"""What became of mail to an address before: whom a domain better does not write to again."""

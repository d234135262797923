"""What mail programs are told, each in its own format, so that an address is all that a person has to type."""

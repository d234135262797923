"""Who lives here: domains, accounts, aliases and credentials."""

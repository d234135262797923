"""How this node runs: the settings (who lives here is in the database)."""

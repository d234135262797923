"""The stored mail of the accounts."""

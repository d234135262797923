"""Carriers in a process of their own: the wire between the node and its child, and both of its ends (docs/adr/0018)."""

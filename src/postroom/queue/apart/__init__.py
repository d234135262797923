"""The queue in a process of its own: how messages get to it (docs/adr/0022)."""

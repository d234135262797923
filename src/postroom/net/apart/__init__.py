"""The wire between a node and a process of its own: frames, both ends, who keeps the child alive (docs/adr/0018)."""

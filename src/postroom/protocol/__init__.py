"""Pure protocol engines: bytes in, events out; no I/O, no clock, no chance."""

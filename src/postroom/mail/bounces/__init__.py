"""Reads what comes back: bounces in standard and other forms, and complaints. Bytes in, values out; never raises."""

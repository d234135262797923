"""Postroom and Postfix side by side in one run: what DESIGN §8 measures (method: docs/performance.md)."""

"""Shapes the traffic to sites: rules of providers, limits that follow replies, source addresses, warm-up."""

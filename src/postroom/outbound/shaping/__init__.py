"""Shapes the traffic to sites: rules of providers, limits that follow the replies, source addresses and their warm-up."""

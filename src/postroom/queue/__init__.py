"""The way of a message from intake to settle: decisions, leases, retries."""

"""The pages for everyone: the MTA-STS policy, and what sets mail programs up."""

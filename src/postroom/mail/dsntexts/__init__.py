"""What delivery status notifications say to people, in each language that we speak."""

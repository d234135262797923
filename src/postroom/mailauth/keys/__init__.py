"""The life of the keys that our mail is signed with: made, published, seen, active, retired, withdrawn."""

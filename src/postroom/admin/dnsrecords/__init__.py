"""What the DNS should say of us: which records, from settings, keys and facts, and what each is for."""

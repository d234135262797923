"""What daily reports to other domains have in common: counts by day, the times of sending, the mail."""

"""Mail that is collected."""

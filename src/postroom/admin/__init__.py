"""What operators do, shared by the commands and the web."""

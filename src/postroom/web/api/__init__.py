"""The API of the web port: JSON over HTTP, for programs that bring the token of the settings."""

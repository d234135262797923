"""The words of mail: frozen values without I/O."""

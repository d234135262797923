"""Writes of the store over a wire: one process has the file's writer, others have their writes done by it."""

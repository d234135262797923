"""Numbered plain SQL, forward only, one folder per engine; a file that was released is never changed."""

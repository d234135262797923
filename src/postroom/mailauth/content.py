"""The content of a message as the checks read it: at hand, or in pieces from the store, as often as they ask."""

from collections.abc import AsyncIterator, Callable

Pieces = Callable[[], AsyncIterator[bytes]]
"""The content from its beginning, in pieces of bounded size; each call begins anew. Raises StoreUnavailable."""

Content = bytes | Pieces
"""All of it where it is small, else in pieces."""

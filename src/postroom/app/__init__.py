"""The composition root: the only room that knows everyone. It builds the rooms from the settings and runs them."""

from postroom.app.opening import open_store, store_path
from postroom.app.serving import serve

__all__ = ["open_store", "serve", "store_path"]

"""Reports: frozen events that tell what happened; logs, metrics and history derive from them."""

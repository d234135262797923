"""The composition root: the only room that knows everyone. It builds the rooms from the settings and runs them.

Nothing is loaded here: a process that carries mail has no use for most of it.
"""

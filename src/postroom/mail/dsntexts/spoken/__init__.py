"""One module for each language, with its sentences in ``TEXTS``; being here is all that a language needs."""

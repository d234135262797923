"""What is answered to the HTTP-01 challenges that are open now (RFC 8555 §8.3). In memory: a restart begins anew."""

MOST = 500
"""Answers at once: an order has at most 100 names with the authorities known. More are a bug, and refused."""


class Answers:
    """Tokens and what to say to them. The order's thread adds and removes, the loop asks: single steps of a dict."""

    def __init__(self) -> None:
        self._answers: dict[str, str] = {}

    def add(self, token: str, answer: str) -> None:
        """Answer ``token`` from now on. ValueError if there are too many."""
        if len(self._answers) >= MOST:
            raise ValueError(f"more than {MOST} challenges are open")
        self._answers[token] = answer

    def remove(self, token: str) -> None:
        """No longer."""
        self._answers.pop(token, None)

    def get(self, token: str) -> str | None:
        """What to answer, or None for a token that is not ours."""
        return self._answers.get(token)

"""LOGIN: name, then password, each asked for; obsolete, but all that some clients and servers know.

It was never standardised; what is in use follows draft-murchison-sasl-login.
"""

from postroom.protocol.sasl.exchange import Challenge, Credentials, Malformed, Password, Step, read_text

NAME = "LOGIN"


class LoginServer:
    """Asks twice. The name may come as an initial response, as some clients do."""

    def __init__(self) -> None:
        self._asked = False
        self._name: str | None = None

    def step(self, data: bytes | None) -> Step:
        """None to be asked, then the name, then the password."""
        if self._name is not None:
            password = read_text(data or b"", "password")
            return password if isinstance(password, Malformed) else Credentials(self._name, Password(password))
        if data is None and not self._asked:
            self._asked = True
            return Challenge(b"Username:")  # some clients compare it to the letter
        name = read_text(data or b"", "name")
        if isinstance(name, Malformed):
            return name
        self._name = name
        return Challenge(b"Password:")


class LoginClient:
    """Answers the first challenge with the name and the second with the password, whatever words they are in."""

    def __init__(self, name: str, password: Password) -> None:
        self._answers = [password.text.encode(), name.encode()]

    @property
    def name(self) -> str:
        """LOGIN."""
        return NAME

    @property
    def is_satisfied(self) -> bool:
        """Nothing is asked of the server."""
        return True

    def initial(self) -> bytes | None:
        """None: the server speaks first."""
        return None

    def respond(self, challenge: bytes) -> bytes | Malformed:
        """Name, then password; what the server writes in its challenges differs from server to server."""
        return (
            self._answers.pop() if self._answers else Malformed("LOGIN has two answers, and the server asks for more")
        )

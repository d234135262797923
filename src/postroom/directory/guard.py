"""The port to what guards logins: who has failed too often, and how long an answer is held back.

The policy room implements it (``policy/lockout.py``); whoever runs a login asks it before and tells it after.
"""

from typing import Protocol

from postroom.mail.value import value


@value(frozen=True, slots=True)
class LoginStanding:
    """Before a login: ``locked`` says why nobody may try now (for the log), ``""`` if one may; ``until`` its end."""

    locked: str = ""
    until: float = 0.0


@value(frozen=True, slots=True)
class LoginFailure:
    """After a failed login: failures that count now, this one included, and seconds to hold the answer back."""

    from_address: int
    for_account: int
    delay: float


class LoginGuard(Protocol):
    """Keeps the failures. Never blocks, never raises; addresses are textual, names as the client gave them."""

    def standing(self, address: str, name: str) -> LoginStanding:
        """Whether a login for ``name`` may be tried from ``address``."""
        ...

    def failed(self, address: str, name: str) -> LoginFailure:
        """A login failed."""
        ...

    def succeeded(self, address: str, name: str) -> None:
        """A login succeeded: the address is known to the account from now on."""
        ...


class Unguarded:
    """Where nothing guards logins: in a house without lockout."""

    def standing(self, address: str, name: str) -> LoginStanding:
        """Whoever it is."""
        return LoginStanding()

    def failed(self, address: str, name: str) -> LoginFailure:
        """It is not counted."""
        return LoginFailure(0, 0, 0.0)

    def succeeded(self, address: str, name: str) -> None:
        """It makes no difference."""

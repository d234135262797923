"""Which mechanisms there are: the one place that knows them all."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from postroom.protocol.sasl import login, plain
from postroom.protocol.sasl.exchange import ClientMechanism, Password, ServerMechanism

SERVER: Mapping[str, Callable[[], ServerMechanism]] = MappingProxyType(
    {plain.NAME: plain.PlainServer, login.NAME: login.LoginServer}
)
"""By the name in upper case, in the order in which they are announced. Both want TLS around them (RFC 4616 §1)."""

CLIENT: Mapping[str, Callable[[str, Password], ClientMechanism]] = MappingProxyType(
    {plain.NAME: plain.PlainClient, login.NAME: login.LoginClient}
)
"""The same for the client's side, best first."""


def begin_server(mechanism: str) -> ServerMechanism | None:
    """A fresh exchange for the mechanism (in upper case), None if we have it not."""
    make = SERVER.get(mechanism)
    return make() if make is not None else None


def begin_client(offered: Iterable[str], name: str, password: Password) -> ClientMechanism | None:
    """A fresh exchange in the best mechanism that the server offers, None if there is none in common."""
    names = {word.upper() for word in offered}
    for mechanism, make in CLIENT.items():
        if mechanism in names:
            return make(name, password)
    return None

"""Which mechanisms there are: the one place that knows them all."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from postroom.protocol.sasl import external, login, oauth, plain
from postroom.protocol.sasl.exchange import Around, Binding, ClientMechanism, Secrets, ServerMechanism, no_binding
from postroom.protocol.sasl.scram_client import ScramClient, best_binding
from postroom.protocol.sasl.scram_server import ScramServer
from postroom.protocol.sasl.scram_words import ALGORITHMS, PLUS, mechanism_name


def _scram(algorithm: str, *, plus: bool) -> Callable[[Around], ServerMechanism]:
    return lambda around: ScramServer(algorithm, plus=plus, around=around)


SERVER: Mapping[str, Callable[[Around], ServerMechanism]] = MappingProxyType(
    {
        mechanism_name(algorithm, plus=plus): _scram(algorithm, plus=plus)
        for algorithm in ALGORITHMS
        for plus in (True, False)
    }
    | {
        oauth.NAME: oauth.BearerServer,
        oauth.XNAME: lambda _: oauth.XoauthServer(),
        external.NAME: lambda _: external.ExternalServer(),
        plain.NAME: lambda _: plain.PlainServer(),
        login.NAME: lambda _: login.LoginServer(),
    }
)
"""By the name in upper case, in the order in which they are announced. All want TLS around them: PLAIN and the tokens
because they are read in the clear (RFC 4616 §1, RFC 7628 §3), SCRAM because its exchange can be guessed from.
"""


def begin_server(mechanism: str, around: Around) -> ServerMechanism | None:
    """A fresh exchange for the mechanism (in upper case), None if we have it not."""
    make = SERVER.get(mechanism)
    return make(around) if make is not None else None


def fitting(mechanisms: Iterable[str], *, binds: bool, certified: bool) -> tuple[str, ...]:
    """Those that a session can use: ``binds``, it has a channel binding; ``certified``, TLS has shown who it is."""
    return tuple(
        [
            name
            for name in mechanisms
            if name in SERVER and (binds or not name.endswith(PLUS)) and (certified or name != external.NAME)
        ]
    )


def begin_client(
    offered: Iterable[str], secrets: Secrets, nonce: str, binding: Binding = no_binding
) -> ClientMechanism | None:
    """A fresh exchange in the best mechanism that the server offers and ``secrets`` are for, None if there is none.

    ``nonce`` is for this exchange alone. The best are those that show no secret and are bound to the TLS session.
    """
    names = {word.upper() for word in offered}
    if secrets.certificate and external.NAME in names:
        return external.ExternalClient(secrets.authzid)
    if secrets.token is not None:
        if oauth.NAME in names:
            return oauth.bearer_client(secrets.name, secrets.token)
        if oauth.XNAME in names:
            return oauth.xoauth_client(secrets.name, secrets.token)
    password = secrets.password
    if password is None:
        return None
    scram = _begin_scram(names, secrets, nonce, binding)
    if scram is not None:
        return scram
    if plain.NAME in names:
        return plain.PlainClient(secrets.name, password, secrets.authzid)
    return login.LoginClient(secrets.name, password) if login.NAME in names and not secrets.authzid else None


def _begin_scram(names: set[str], secrets: Secrets, nonce: str, binding: Binding) -> ScramClient | None:
    """The best kind of SCRAM; None too if name or password cannot be prepared for it."""
    password = secrets.password
    binds = bool(best_binding(binding)[0])
    kinds = [(algorithm, plus) for plus in (True, False) for algorithm in ALGORITHMS if binds or not plus]
    for algorithm, plus in kinds:
        if password is not None and mechanism_name(algorithm, plus=plus) in names:
            try:
                return ScramClient(
                    algorithm,
                    secrets.name,
                    password,
                    nonce,
                    authzid=secrets.authzid,
                    plus=plus,
                    supports=binds,
                    binding=binding,
                )
            except ValueError:
                return None
    return None

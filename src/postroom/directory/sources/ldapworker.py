"""A process that asks one LDAP server, one question after the other: lines of JSON on standard input and output.

It is a process because bonsai keeps Python's interpreter lock while it waits for the answer to a bind, and waits for a
TLS handshake without end: in the server's own process a directory that hangs would hang the mail (docs/adr/0009).
Nothing but bonsai and the standard library is loaded here.
"""

import contextlib
import json
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import bonsai

_SUBTREE = 2
_NO_ATTRIBUTES = ["1.1"]  # RFC 4511 §4.5.1.8
_NOBODYS_RDN = "cn=nobody lives here"


@dataclass(frozen=True, slots=True, repr=False)
class Server:
    """The server, and how people are found there. ``authorities`` is a file of PEM; the first line of input."""

    url: str
    start_tls: bool
    authorities: str
    search_base: str
    search_dn: str
    search_password: str
    timeout: float


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """A bind as ``dn``, or as whom ``query`` (a filter) finds; ``imitate``: where it finds nobody, as nobody.

    Without a ``password``: only look whether one could ask.
    """

    dn: str
    query: str
    password: str
    imitate: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """``right``: None for somebody who is not found. ``trouble``, if there is any, is for the log."""

    right: bool | None = None
    trouble: str = ""


class _Asker:
    """Asks the one server. The connection that searches is kept; each bind has a fresh one, so that nobody is ever
    answered as somebody else.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._searcher: Any = None

    def answer(self, question: Question) -> Answer:
        try:
            return self._answer(question)
        except bonsai.LDAPError as error:
            return Answer(trouble=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the process must go on answering
            return Answer(trouble=type(error).__name__)

    def _answer(self, question: Question) -> Answer:
        found = [question.dn] if question.dn else self._find(question.query)
        if len(found) > 1:
            return Answer(trouble="the search finds several entries for one address")
        if not question.password:  # never sent: to the server it would be no login at all (RFC 4513 §5.1.2)
            if question.dn:
                self._close(self._connect("", ""))
            return Answer()
        if not found and question.imitate:
            found = [f"{_NOBODYS_RDN},{self._server.search_base}"]
        return Answer(self._bind(found[0], question.password)) if found else Answer()

    def _bind(self, dn: str, password: str) -> bool:
        client = self._client(dn, password)
        try:
            self._close(client.connect(timeout=self._server.timeout))
        except (bonsai.AuthenticationError, bonsai.NoSuchObjectError, bonsai.InvalidDN):
            return False
        return True

    def _find(self, query: str) -> list[str]:
        if self._searcher is not None:
            try:
                return self._search(query)
            except (bonsai.ConnectionError, bonsai.ClosedConnection, bonsai.errors.TimeoutError):
                self._forget()  # it went while nobody looked: once more with another
        self._searcher = self._connect(self._server.search_dn, self._server.search_password)
        try:
            return self._search(query)
        except bonsai.LDAPError:
            self._forget()
            raise

    def _search(self, query: str) -> list[str]:
        found = self._searcher.search(
            self._server.search_base, _SUBTREE, query, _NO_ATTRIBUTES, self._server.timeout, sizelimit=2
        )
        return [str(entry.dn) for entry in found]

    def _forget(self) -> None:
        searcher, self._searcher = self._searcher, None
        self._close(searcher)

    def _connect(self, dn: str, password: str) -> Any:
        return self._client(dn, password).connect(timeout=self._server.timeout)

    def _client(self, dn: str, password: str) -> bonsai.LDAPClient:
        """``dn`` is ``""`` for an anonymous one. The certificate of the server is always verified."""
        url = self._server.url
        if url.startswith("ldapi:///"):
            url = f"ldapi://{quote(url.removeprefix('ldapi://'), safe='')}"
        client = bonsai.LDAPClient(url, tls=self._server.start_tls and url.startswith("ldap://"))
        client.set_cert_policy("demand")
        client.set_ca_cert(self._server.authorities)
        client.set_server_chase_referrals(False)  # a password is shown to the server that was named, and to no other
        if dn:
            client.set_credentials("SIMPLE", dn, password)
        return client

    @staticmethod
    def _close(connection: Any) -> None:
        with contextlib.suppress(Exception):  # it is of no use any more, whatever it says
            connection.close()


def main() -> None:
    """Answer until the input ends. A question that takes far too long ends the process, wherever it hangs."""
    server = Server(**json.loads(sys.stdin.readline()))
    asker = _Asker(server)
    for line in sys.stdin:
        signal.alarm(int(5 * server.timeout) + 1)
        answer = asker.answer(Question(**json.loads(line)))
        signal.alarm(0)
        print(json.dumps(asdict(answer)), flush=True)  # noqa: T201 - the one who asked reads it


if __name__ == "__main__":
    main()

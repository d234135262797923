"""The test client logs in by the best mechanism that a server offers, and believes only who knows the password."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.fakes.smtp_shell import SmtpShell
from tests.fakes.smtp_thread import ThreadedShell

from postroom.admin.refusal import Refused
from postroom.cli.talk import Target, hand_over
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.reply import Reply
from postroom.protocol.sasl import scram_words
from postroom.protocol.sasl.exchange import Around, Disproved, KeysWanted, Proved, ScramKeys, ServerMechanism
from postroom.protocol.sasl.mechanisms import begin_server
from postroom.protocol.smtp.events import Auth, AuthResponse
from postroom.protocol.smtp.options import ServerOptions

SALT = b"twelve octets"
ENVELOPE = Envelope(Address.parse("a@b.example"), (Recipient(Address.parse("c@d.example")),))


@dataclass
class ScramShell(SmtpShell):
    """Knows the password ``secret``; ``says`` stands in place of a step by its number."""

    says: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._replies: Iterator[str] = iter(self.says)
        self._exchange: ServerMechanism | None = None
        self._proved: bool | None = None

    def _check_password(self, step: Auth | AuthResponse) -> Reply:
        said = next(self._replies, "")
        if said:
            code, _, text = said.partition(" ")
            if code == "235":
                self.engine.authenticated()
            return Reply(int(code), "", (text,))
        if self._proved is not None:
            if self._proved:
                self.engine.authenticated()
            return Reply.of(235, "2.7.0", "Welcome") if self._proved else Reply.of(535, "5.7.8", "No")
        if isinstance(step, Auth):
            self._exchange = begin_server(step.mechanism, Around("of-the-server"))
        assert self._exchange is not None
        answer = self._exchange.step(step.initial if isinstance(step, Auth) else step.data)
        if isinstance(answer, KeysWanted):
            salted = scram_words.salted(answer.algorithm, b"secret", SALT, 4096)
            keys = ScramKeys(SALT, 4096, (scram_words.secret_of(answer.algorithm, salted),))
            data = answer.with_keys(keys).data
        else:
            assert isinstance(answer, Proved | Disproved)
            self._proved, data = isinstance(answer, Proved), answer.data
        return Reply(334, "", (b64encode(data).decode(),))


def talk(shell: SmtpShell, password: str = "secret") -> tuple[str, list[str]]:
    shown: list[str] = []
    with ThreadedShell(shell) as server:
        target = Target("127.0.0.1", server.port, user="alice@example.org", password=password)
        return hand_over(target, ENVELOPE, b"x\r\n", "client.example", shown.append), shown


def options(*mechanisms: str) -> ServerOptions:
    return ServerOptions("mx.example", auth_mechanisms=mechanisms, auth_without_tls=True)


@pytest.mark.parametrize("mechanisms", [("PLAIN", "SCRAM-SHA-256"), ("SCRAM-SHA-1", "LOGIN")])
def test_scram_before_passwords_in_the_clear(mechanisms: tuple[str, ...]) -> None:
    _, shown = talk(ScramShell(options(*mechanisms)))
    assert f"C: AUTH {max(mechanisms)} (not shown)" in shown
    assert "secret" not in "".join(shown)


def test_login() -> None:
    _, shown = talk(SmtpShell(options("LOGIN")))
    assert shown.count("C: (not shown)") == 2


@pytest.mark.parametrize(
    ("shell", "password", "reason"),
    [
        (ScramShell(options("SCRAM-SHA-256")), "wrong", "it refuses: 'invalid-proof'"),
        (SmtpShell(options("PLAIN")), "wrong", "the server refused: 535"),
        (SmtpShell(options("GSSAPI")), "secret", "no way to log in that we have: GSSAPI"),
        (SmtpShell(options()), "secret", "no way to log in that we have: none"),
        (ScramShell(options("SCRAM-SHA-256"), says=("235 come in",)), "secret", "did not prove"),
        (ScramShell(options("SCRAM-SHA-256"), says=("334 !!!",)), "secret", "does not speak SMTP"),
        (ScramShell(options("LOGIN"), says=("334 ",) * 9), "secret", "LOGIN has two answers"),
    ],
)
def test_refusals(shell: SmtpShell, password: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        talk(shell, password)
    assert reason in str(refused.value)
    assert not shell.messages

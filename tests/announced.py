"""The part of docs/standards.md about extensions: which role announces which, as the server's own code says it."""

from collections.abc import Iterable

from tests.fakes.smtp_house import SmtpHouse

from postroom.access.pop3 import POP3_ROLES
from postroom.access.pop3 import server_options as pop3_options
from postroom.config.model import Pop3Settings, SmtpSettings
from postroom.inbound.service import SMTP_ROLES, SUBMISSION_ROLES
from postroom.inbound.service import server_options as smtp_options
from postroom.mail.session import Role
from postroom.protocol.pop3.capabilities import capabilities
from postroom.protocol.sasl.mechanisms import SERVER
from postroom.protocol.smtp.standing import Standing

_CLEAR, _TLS, _PROXY = "before TLS", "under TLS", "from `xclient_networks`"
_TRUSTED = "from `trusted_networks`"

SMTP_EXTENSIONS = {
    "PIPELINING": "RFC 2920", "SIZE": "RFC 1870", "8BITMIME": "RFC 6152", "ENHANCEDSTATUSCODES": "RFC 2034",
    "DSN": "RFC 3461", "CHUNKING": "RFC 3030", "BINARYMIME": "RFC 3030", "SMTPUTF8": "RFC 6531", "STARTTLS": "RFC 3207",
    "REQUIRETLS": "RFC 8689", "AUTH": "RFC 4954", "DELIVERBY": "RFC 2852", "MT-PRIORITY": "RFC 6710",
    "LIMITS": "RFC 9422", "FUTURERELEASE": "RFC 4865", "XCLIENT": "Postfix",
    "ETRN": "RFC 1985",
}  # fmt: skip
POP3_CAPABILITIES = {
    "TOP": "RFC 1939", "UIDL": "RFC 1939", "USER": "RFC 1939", "PIPELINING": "RFC 2449", "RESP-CODES": "RFC 2449",
    "EXPIRE": "RFC 2449", "IMPLEMENTATION": "RFC 2449", "AUTH-RESP-CODE": "RFC 3206", "UTF8": "RFC 6856",
    "LANG": "RFC 6856", "STLS": "RFC 2595", "SASL": "RFC 5034",
}  # fmt: skip
SASL_MECHANISMS = {
    "SCRAM-SHA-256-PLUS": "RFC 7677, with RFC 9266 or RFC 5929", "SCRAM-SHA-256": "RFC 7677",
    "SCRAM-SHA-1-PLUS": "RFC 5802, with RFC 9266 or RFC 5929", "SCRAM-SHA-1": "RFC 5802", "OAUTHBEARER": "RFC 7628",
    "XOAUTH2": "Google", "EXTERNAL": "RFC 4422", "PLAIN": "RFC 4616", "LOGIN": "Microsoft",
}  # fmt: skip

_HEAD = """## What is announced

With a certificate and the settings as they are without a file; made from what the server itself puts into its replies.
"""
_SASL = """
The mechanisms of AUTH, in the order in which they are announced, each where a source of credentials can check it, the
-PLUS ones where the TLS session has a channel binding, EXTERNAL where the client has shown a certificate:
"""


def announced() -> str:
    """The section in Markdown. KeyError if there is something new that no standard stands beside here."""
    smtp = {role: _by_state({_CLEAR: _ehlo(role), _TLS: _ehlo(role, tls=True)}, role) for role in SMTP_ROLES}
    for role, words in smtp.items():
        if role is Role.MX:
            words["ETRN"] = _TRUSTED
        words.update(dict.fromkeys(set(_ehlo(role, tls=True, xclient=True)) - set(words), _PROXY))
    pop3 = {role: _by_state({_CLEAR: _capa(role), _TLS: _capa(role, tls=True)}, role) for role in POP3_ROLES}
    rows = "".join([f"| {name} | {SASL_MECHANISMS[name]} |\n" for name in SERVER])
    return "\n".join(
        [
            _HEAD,
            _table("EHLO, LHLO", smtp, SMTP_EXTENSIONS),
            _table("CAPA", pop3, POP3_CAPABILITIES),
            f"{_SASL}\n| mechanism | standard |\n|---|---|\n{rows}",
        ]
    )


def _ehlo(role: Role, *, tls: bool = False, xclient: bool = False) -> list[str]:
    options = smtp_options(role, SmtpHouse(SmtpSettings()).house)
    return _keywords(Standing(options, tls=tls, xclient=xclient, etrn=role in SUBMISSION_ROLES).extensions())


def _capa(role: Role, *, tls: bool = False) -> list[str]:
    options = pop3_options(role, Pop3Settings(), offers_tls=True)
    return _keywords(capabilities(options, tuple(SERVER), tls=tls, logged_in=False, utf8=False))


def _keywords(lines: Iterable[str]) -> list[str]:
    return [line.split()[0] for line in lines]


def _by_state(states: dict[str, list[str]], role: Role) -> dict[str, str]:
    """When each keyword is announced; a role that has TLS from the start knows no other state."""
    if role in (Role.SUBMISSIONS, Role.POP3S):
        return dict.fromkeys(states[_TLS], "yes")
    words = dict.fromkeys([*states[_CLEAR], *states[_TLS]], "")
    for word in words:
        when = [state for state, known in states.items() if word in known]
        words[word] = "yes" if len(when) == len(states) else when[0]
    return words


def _table(title: str, by_role: dict[Role, dict[str, str]], standards: dict[str, str]) -> str:
    words = dict.fromkeys([word for known in by_role.values() for word in known])
    rows = [
        f"| {word} | {standards[word]} | {' | '.join([known.get(word, '—') for known in by_role.values()])} |"
        for word in sorted(words)
    ]
    heads = " | ".join([role.value for role in by_role])
    return "\n".join([f"| {title} | standard | {heads} |", "|---|---|" + "---|" * len(by_role), *rows, ""])

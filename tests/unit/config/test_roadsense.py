"""Rules that lead nowhere, and ways on which mail could not go, are found before the server starts."""

import tomllib

import pytest

from postroom.config.finding import Finding
from postroom.config.lines import show_path
from postroom.config.model import Settings
from postroom.config.roadsense import check_road

A = '[[smarthost]]\nname="a"\nhost="h"\n'
B = '[[smarthost]]\nname="b"\nhost="h"\n'
L = '[[smarthost]]\nname="l"\nhost="/run/lmtp"\nprotocol="lmtp"\ntls="none"\n'
TOKENS = 'user="u"\ntoken_url="https://id.example/token"\nclient_id="c"\nrefresh_token_file="r"\n'


def findings(text: str) -> list[Finding]:
    return list(check_road(Settings.model_validate(tomllib.loads('hostname = "mx.example.org"\n' + text))))


def test_nothing_to_say_about_good_settings() -> None:
    good = f"""
{A}user = "u"
password_file = "pw"
mechanisms = ["scram-sha-256", "PLAIN"]
{B}{TOKENS}
{L}
[[smarthost]]
name = "certified"
host = "h"
certificate = "c"
key = "k"
mechanisms = ["EXTERNAL"]
[[maildir]]
name = "boxes"
path = "/var/mail/{{domain}}/{{local}}"
[[command]]
name = "robot"
command = ["/bin/sh", "-c", "true", "{{recipient}}", "--from={{sender}}"]
[[pool]]
name = "cold"
sources = ["s"]
[[source]]
name = "s"
[[schedule]]
name = "slow"
first_retry = "1h"
[[route]]
name = "bulk"
tags = ["bulk"]
headers = {{ List-Id = "*" }}
senders = ["ann@example.org", "@example.org", "@.example.org", "<>"]
accounts = ["*", "@example.org", "ann@example.org"]
clients = ["192.0.2.0/24"]
via = ["a", "b"]
weights = [3, 1]
pool = "cold"
schedule = "slow"
[[route]]
domains = ["ours.example", ".ours.example", "[192.0.2.1]"]
via = "l"
[[route]]
recipients = ["robot@ours.example"]
via = "robot"
[[route]]
domains = ["here.example"]
via = "mailbox"
[[route]]
via = "hold"
pool = "s"
"""
    assert findings(good) == []


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        # names
        ('[[smarthost]]\nname="mx"\nhost="h"\n', "smarthost[1].name", "meaning of its own"),
        ('[[maildir]]\nname="hold"\npath="/m/{local}"\n', "maildir[1].name", "meaning of its own"),
        (A + A, "smarthost[2].name", "already"),
        (A + '[[command]]\nname="a"\ncommand=["/bin/sh"]\n', "command[1].name", "a smarthost already"),
        ('[[route]]\nname="r"\n[[route]]\n[[route]]\nname="r"\n', "route[3].name", "already"),
        ('[[route]]\nname="a/2"\n', "route[1].name", "no name"),
        ('[[route]]\nname="a|b"\n', "route[1].name", "no name"),
        ('[[route]]\nname=" a"\n', "route[1].name", "no name"),
        ('[[schedule]]\nname="s"\n[[schedule]]\nname="s"\n', "schedule[2].name", "already"),
        # via
        ('[[route]]\nvia="nowhere"\n', "route[1].via", "no smarthost 'nowhere'"),
        ("[[route]]\nvia=[]\n", "route[1].via", "via nothing"),
        (A + '[[route]]\nvia=["hold", "a"]\n', "route[1].via", "hold among several"),
        (A + '[[route]]\nvia=["a", "mx"]\n', "route[1].via", "mx among several"),
        (A + L + '[[route]]\nvia=["a", "l"]\n', "route[1].via", "smtp and lmtp"),
        (A + '[[route]]\nvia=["a", "a"]\n', "route[1].via", "twice"),
        ('[[route]]\nvia="mailbox"\n', "route[1].via", "never takes our own"),
        (A + B + '[[route]]\nvia=["a", "b"]\nweights=[1]\n', "route[1].weights", "1 weights for 2"),
        (A + B + '[[route]]\nvia=["a", "b"]\nweights=[0, 0]\n', "route[1].weights", "shares"),
        (A + B + '[[route]]\nvia=["a", "b"]\nweights=[2, -1]\n', "route[1].weights", "shares"),
        ('[[route]]\npool="p"\n', "route[1].pool", "no pool"),
        ('[[route]]\nschedule="p"\n', "route[1].schedule", "no schedule"),
        # patterns
        ("[[route]]\ndomains=[]\n", "route[1].domains", "never matches"),
        ('[[route]]\ndomains=["*.example.org"]\n', "route[1].domains", "'*.example.org'"),
        ('[[route]]\nrecipients=["bob"]\n', "route[1].recipients", "'bob'"),
        ('[[route]]\nsenders=["example.org"]\n', "route[1].senders", "'example.org'"),
        ('[[route]]\naccounts=["<>"]\n', "route[1].accounts", "'<>'"),
        ('[[route]]\ntags=["two words"]\n', "route[1].tags", "'two words'"),
        ('[[route]]\nheaders={"List Id"="x"}\n', "route[1].headers", "'List Id'"),
        # smarthosts
        (A + 'user="u"\n', "smarthost[1].user", "without a password"),
        (A + 'user="u"\npassword="p"\npassword_file="f"\n', "smarthost[1].password", "both"),
        (A + 'user="u"\npassword="p"\ntls="none"\n', "smarthost[1].tls", "without verified"),
        (A + 'certificate="c"\n', "smarthost[1].certificate", "without key"),
        (A + 'key="c"\n', "smarthost[1].key", "without certificate"),
        (A + 'certificate="c"\nkey="k"\ntls="none"\n', "smarthost[1].certificate", "only where TLS"),
        ('[[smarthost]]\nname="a"\nhost="/run/x"\n', "smarthost[1].host", "for smtp"),
        (A + 'mechanisms=["CRAM-MD5"]\n', "smarthost[1].mechanisms[1]", "no mechanism"),
        (A + 'mechanisms=["PLAIN", "XOAUTH2"]\n', "smarthost[1].mechanisms[2]", "without a token"),
        (A + 'mechanisms=["EXTERNAL"]\n', "smarthost[1].mechanisms[1]", "without a certificate"),
        (A + TOKENS.replace("https", "http"), "smarthost[1].token_url", "no https URL"),
        (A + TOKENS.replace('user="u"\n', ""), "smarthost[1].token_url", "whose mailbox"),
        (A + TOKENS.replace('client_id="c"\n', ""), "smarthost[1].token_url", "without client_id"),
        (A + TOKENS.replace('refresh_token_file="r"\n', ""), "smarthost[1].token_url", "nothing to get"),
        (A + 'scope="x"\n', "smarthost[1].scope", "without token_url"),
        # maildirs, commands, schedules
        ('[[maildir]]\nname="m"\npath="mail/{local}"\n', "maildir[1].path", "does not begin with /"),
        ('[[maildir]]\nname="m"\npath="/mail/{user}/{local}"\n', "maildir[1].path", "{user} stands for nothing"),
        ('[[command]]\nname="c"\ncommand=["/bin/sh", "{user}"]\n', "command[1].command", "{user} stands for nothing"),
        ('[[command]]\nname="c"\ncommand=["/bin/{local}"]\n', "command[1].command", "whoever sends"),
        ('[[schedule]]\nname="s"\nlongest_retry=1\n', "schedule[1].longest_retry", "shorter"),
        ('[[schedule]]\nname="s"\nlifetime=1\n', "schedule[1].lifetime", "expire before"),
    ],
)
def test_contradictions(text: str, path: str, words: str) -> None:
    (found,) = findings(text)
    assert show_path(found.path) == path
    assert words in found.what
    assert found.remedy
    assert found.is_error


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('[[maildir]]\nname="m"\npath="/var/mail/{domain}"\n', "maildir[1].path", "one Maildir"),
        ('[[command]]\nname="c"\ncommand=["/nonexistent"]\n', "command[1].command", "does not exist"),
        ('[[command]]\nname="c"\ncommand=["nonexistent-program"]\n', "command[1].command", "no program"),
        ('[[command]]\nname="c"\ncommand=["/etc/passwd"]\n', "command[1].command", "not executable"),
    ],
)
def test_warnings(text: str, path: str, words: str) -> None:
    (found,) = findings(text)
    assert (show_path(found.path), found.is_error) == (path, False)
    assert words in found.what


def test_a_program_of_the_path() -> None:
    assert findings('[[command]]\nname="c"\ncommand=["sh"]\n') == []

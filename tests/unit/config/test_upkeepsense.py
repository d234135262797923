"""What an order for a certificate or an alert would stumble over is found before the server starts."""

import tomllib
from pathlib import Path

import pytest

from postroom.config.finding import Finding
from postroom.config.lines import show_path
from postroom.config.model import Settings
from postroom.config.sense import check_sense, listeners_of

ACME = "[acme]\nenabled = true\nagree = true\n"
ALERT = '[[alert]]\non = ["lockout"]\n'


def findings(text: str, hostname: str = "mx.example.org") -> list[Finding]:
    return list(check_sense(Settings.model_validate(tomllib.loads(f'hostname = "{hostname}"\n{text}'))))


def only(text: str, hostname: str = "mx.example.org") -> tuple[str, str, bool]:
    (found,) = [each for each in findings(text, hostname) if each.path != ("tls",)]  # without [acme] there is no TLS
    return show_path(found.path), found.what, found.is_error


def test_good_settings() -> None:
    good = f"""{ACME}
contact = "me@example.org"
domains = ["mx.example.org", "smtp.example.org"]
eab_kid = "k"
eab_key_file = "eab.key"
address = "::"
[[listener]]
role = "submissions"
port = 465
[[alert]]
on = ["login_failed", "lockout"]
threshold = "20/5m"
webhook = "https://hooks.example.org/x"
[[alert]]
on = ["store_trouble"]
command = ["/bin/sh", "-c", "cat"]
"""
    assert findings(good) == []


def test_what_is_off_is_not_looked_at() -> None:
    assert not [each for each in findings('[acme]\ndirectory = "ftp://x"\n') if each.path[0] == "acme"]


def test_logins_are_offered_where_a_certificate_will_come() -> None:
    settings = Settings.model_validate(tomllib.loads(f'hostname = "mx.example.org"\n{ACME}'))
    assert len(listeners_of(settings)) == 5


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[acme]\nenabled = true\n", "acme.agree", "not agreed to"),
        (ACME + '[tls]\ncertificate = "c"\nkey = "k"\n', "tls.certificate", "which one"),
        (ACME + 'directory = "http://ca.example/dir"\n', "acme.directory", "not an https URL"),  # RFC 8555 §6.1
        (ACME + 'domains = ["mx.example.org", "[192.0.2.1]"]\n', "acme.domains[2]", "no authority issues"),
        (ACME + 'eab_kid = "k"\n', "acme.eab_kid", "eab_kid without eab_key_file"),
        (ACME + 'eab_key_file = "k"\n', "acme.eab_key_file", "eab_key_file without eab_kid"),
        (ACME + 'contact = "a@b.example,c@d.example"\n', "acme.contact", "not a mail address"),
        (ACME + 'address = "localhost"\n', "acme.address", "not an IP address"),
        (ACME + "port = 0\n[web]\nenabled = false\n", "acme.port", "no port answers"),
        (ALERT, "alert[1].webhook", "neither webhook nor command"),
        (ALERT + 'webhook = "https://x.example/"\ncommand = ["/bin/sh"]\n', "alert[1].webhook", "both"),
        (ALERT + 'webhook = "ftp://x.example/s3cr3t"\n', "alert[1].webhook", "not an http or https URL"),
        (ALERT + 'webhook = "https://x.example:port/s3cr3t"\n', "alert[1].webhook", "not an http or https URL"),
        (ALERT + 'command = ["sh"]\n', "alert[1].command", "not an absolute path"),
        (ALERT + 'command = ["/nowhere/alert"]\n', "alert[1].command", "cannot be executed"),
        ('[[alert]]\non = []\nwebhook = "https://x.example/"\n', "alert[1].on", "nothing raises"),
    ],
)
def test_errors(text: str, path: str, words: str) -> None:
    found = only(text)
    assert found[0] == path
    assert words in found[1]
    assert "s3cr3t" not in found[1]
    assert found[2]


def test_the_hostname_must_be_one() -> None:
    assert only(ACME, "[192.0.2.1]")[:2] == ("hostname", "no authority issues a certificate for '[192.0.2.1]'")


def test_a_name_outside_the_public_dns() -> None:
    path, what, is_error = only(ACME, "mx.home")
    assert (path, is_error) == ("hostname", False)
    assert "not in the public DNS" in what
    assert not [each for each in findings(ACME + 'directory = "https://ca.home/dir"\n', "mx.home") if each.is_error]


def test_a_port_of_its_own() -> None:
    text = ACME + 'address = "0.0.0.0"\nport = 25\n[[listener]]\nrole = "mx"\naddresses = ["0.0.0.0"]\nport = 25\n'
    assert any("ACME challenges" in each.what for each in findings(text))


def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.config.upkeepsense.find_spec", lambda name: None)
    assert only(ACME)[1] == "the library for ACME is not installed"


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "alert").write_text("#!/bin/sh\n")
    assert "cannot be executed" in only(f'{ALERT}command = ["{tmp_path}/alert"]\n')[1]

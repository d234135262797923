"""Each role announces and asks what it should."""

import pytest
from tests.fakes.smtp_house import SmtpHouse

from postroom.config.model import SmtpSettings
from postroom.inbound.service import SmtpService, server_options, stages_of
from postroom.mail.session import Role


def test_mx_has_no_auth() -> None:
    options = server_options(Role.MX, "mx.example", SmtpSettings(), offers_tls=True)
    assert (options.auth_mechanisms, options.starttls, options.require_tls, options.require_auth) == (
        (),
        True,
        False,
        False,
    )


@pytest.mark.parametrize(("role", "starttls"), [(Role.SUBMISSION, True), (Role.SUBMISSIONS, False)])
def test_submission_wants_tls_and_auth(role: Role, starttls: bool) -> None:
    options = server_options(role, "mx.example", SmtpSettings(), offers_tls=True)
    assert options.auth_mechanisms == ("PLAIN", "LOGIN")
    assert (options.starttls, options.require_tls, options.require_auth) == (starttls, True, True)
    assert not options.auth_without_tls


def test_starttls_needs_a_certificate() -> None:
    assert not server_options(Role.MX, "mx.example", SmtpSettings(), offers_tls=False).starttls


def test_settings_reach_the_engine() -> None:
    settings = SmtpSettings(max_size=70_000, max_recipients=123, max_line=2000, max_errors=4, normalise_newlines=True)
    options = server_options(Role.MX, "mx.example", settings, offers_tls=False)
    assert (options.max_size, options.max_recipients, options.max_line, options.max_errors) == (70_000, 123, 2000, 4)
    assert options.normalise_newlines


def test_the_policy_of_each_role() -> None:
    house = SmtpHouse().house
    assert [stage.name for stage in stages_of(Role.MX, house)] == ["relaying", "recipients"]
    assert [stage.name for stage in stages_of(Role.SUBMISSION, house)] == ["sender", "relaying", "recipients"]


def test_trusted_networks_are_for_mx_alone() -> None:
    house = SmtpHouse(SmtpSettings.model_validate({"trusted_networks": ["0.0.0.0/0"]})).house
    assert stages_of(Role.SUBMISSIONS, house)[1].name == "relaying"


def test_pop3_is_no_smtp_role() -> None:
    with pytest.raises(ValueError, match="pop3"):
        SmtpService(Role.POP3, SmtpHouse().house)


def test_the_busy_line_is_a_whole_reply() -> None:
    service = SmtpService(Role.MX, SmtpHouse().house)
    assert service.busy_line.startswith(b"421 4.7.0 mx.example.org ")
    assert service.busy_line.endswith(b"\r\n")
    assert service.role is Role.MX

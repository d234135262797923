"""Each role announces and asks what it should."""

import pytest
from tests.fakes.smtp_house import SmtpHouse

from postroom.config.model import SmtpSettings
from postroom.inbound.service import SmtpService, server_options, stages_of
from postroom.mail.session import Role
from postroom.protocol.smtp.options import ServerOptions


def options(role: Role, settings: SmtpSettings | None = None, *, offers_tls: bool = True) -> ServerOptions:
    return server_options(role, SmtpHouse(settings, offers_tls=offers_tls).house)


def test_mx_has_no_auth() -> None:
    mx = options(Role.MX)
    assert (mx.auth_mechanisms, mx.starttls, mx.require_tls, mx.require_auth) == ((), True, False, False)


@pytest.mark.parametrize(("role", "starttls"), [(Role.SUBMISSION, True), (Role.SUBMISSIONS, False)])
def test_submission_wants_tls_and_auth(role: Role, starttls: bool) -> None:
    found = options(role)
    assert {"PLAIN", "LOGIN"} <= set(found.auth_mechanisms)
    assert (found.starttls, found.require_tls, found.require_auth) == (starttls, True, True)
    assert not found.auth_without_tls


def test_lmtp_is_for_those_who_deliver() -> None:
    # RFC 2033 §1
    found = options(Role.LMTP)
    assert found.lmtp
    assert (found.auth_mechanisms, found.require_tls, found.require_auth) == ((), False, False)


@pytest.mark.parametrize("role", [Role.MX, Role.LMTP])
def test_only_submission_holds_mail_for_later(role: Role) -> None:
    """RFC 4865 §4.2 (2)."""
    assert options(role).max_hold == 0
    assert options(Role.SUBMISSION).max_hold == 30 * 86400
    assert options(Role.SUBMISSIONS, SmtpSettings(max_hold=0)).max_hold == 0
    assert options(Role.SUBMISSION, SmtpSettings(max_hold=1e12)).max_hold == 999_999_999


def test_starttls_needs_a_certificate() -> None:
    assert not options(Role.MX, offers_tls=False).starttls


def test_settings_reach_the_engine() -> None:
    settings = SmtpSettings(
        max_size=70_000,
        max_recipients=123,
        max_line=2000,
        max_errors=4,
        normalise_newlines=True,
        max_transactions=7,
        min_deliver_by=60,
    )
    found = options(Role.MX, settings)
    assert (found.max_size, found.max_recipients, found.max_line, found.max_errors) == (70_000, 123, 2000, 4)
    assert (found.normalise_newlines, found.max_transactions, found.min_deliver_by) == (True, 7, 60)


def test_the_policy_of_each_role() -> None:
    house = SmtpHouse().house
    assert [stage.name for stage in stages_of(Role.MX, house)] == ["relaying", "recipients"]
    assert [stage.name for stage in stages_of(Role.LMTP, house)] == ["relaying", "recipients"]
    submission = ["sender", "relaying", "qualified", "recipients", "suppressed"]
    assert [stage.name for stage in stages_of(Role.SUBMISSION, house)] == submission


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

"""Which rule a site goes by, and what rules of the operator change."""

import pytest

from postroom.config.road import OutboundSettings
from postroom.config.section import Rate
from postroom.config.sending import ShapingSettings
from postroom.mail.delivery import RouteKind, Site
from postroom.outbound.shaping.rules import Rules, built_in

OUTBOUND = OutboundSettings(concurrency_per_site=20, messages_per_connection=100, idle_timeout=5)


def site(*hosts: str, kind: RouteKind = RouteKind.MX, route: str = "") -> Site:
    return Site(",".join(hosts), kind, (hosts,), route=route)


def own(**fields: object) -> ShapingSettings:
    return ShapingSettings.model_validate(fields)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("gmail-smtp-in.l.google.com", "google"),
        ("ASPMX.L.GOOGLE.COM", "google"),
        ("example-org.mail.protection.outlook.com", "microsoft"),
        ("hotmail-com.olc.protection.outlook.com", "microsoft"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("mx00.emig.gmx.net", "gmx"),
        ("smtp-in.orange.fr", "orange"),
        ("mx3.qq.com", "qq"),
        ("mxa-001.pphosted.com", "proofpoint"),
        ("google.com.evil.example", "default"),
        ("notgoogle.com", "default"),
        ("mx.example.org", "default"),
    ],
)
def test_providers_are_known_by_their_hosts(host: str, name: str) -> None:
    assert Rules((), OUTBOUND).rule_for(site(host)).name == name


def test_the_built_in_rules_are_sound() -> None:
    rules = built_in()
    assert len({rule.name for rule in rules}) == len(rules)
    assert all(rule.mx for rule in rules)
    yahoo = Rules((), OUTBOUND).rule_for(site("x.yahoodns.net"))
    assert yahoo.messages_per_connection == 20
    assert yahoo.idle_timeout == 5  # not said: as in [outbound]
    assert yahoo.adapt


def test_a_rule_of_a_built_in_name_changes_what_it_gives_and_nothing_else() -> None:
    rules = Rules([own(name="google", concurrency=3), own(name="default", message_rates=["60/1m"])], OUTBOUND)
    google = rules.rule_for(site("x.google.com"))
    assert (google.concurrency, google.messages_per_connection) == (3, 50)
    assert google.message_rates == (Rate(60, 60.0),)  # what it does not say is as in the default
    assert rules.rule_for(site("mx.example.org")).message_rates == (Rate(60, 60.0),)


def test_rules_of_the_operator_come_first_in_order() -> None:
    first = own(name="mine", mx=["*.google.com"], messages_per_connection=1)
    second = own(name="too", mx=["*.google.com", "mx.example.org"])
    rules = Rules([first, second], OUTBOUND)
    assert rules.rule_for(site("x.google.com")).name == "mine"
    assert rules.rule_for(site("mx.example.org")).name == "too"


def test_built_in_rules_do_not_widen_what_outbound_says_and_own_ones_may() -> None:
    narrow = OutboundSettings(concurrency_per_site=4, concurrency=50)
    assert Rules((), narrow).rule_for(site("x.google.com")).concurrency == 4
    assert Rules([own(name="google", concurrency=30)], narrow).rule_for(site("x.google.com")).concurrency == 30
    assert Rules([own(name="google", concurrency=300)], narrow).rule_for(site("x.google.com")).concurrency == 50


def test_domains_tell_where_the_mx_does_not() -> None:
    rules = Rules([own(name="corp", domains=["*.corp.example", "corp.example"])], OUTBOUND)
    assert rules.by_domain
    assert rules.rule_for(site("mx.hoster.example")).name == "default"
    assert rules.rule_for(site("mx.hoster.example"), frozenset({"corp.example"})).name == "corp"
    assert rules.rule_for(site("corp.example")).name == "corp"  # it is its own host


def test_smarthosts_are_left_alone_unless_the_operator_names_them() -> None:
    relay = site("smtp.google.com", kind=RouteKind.SMARTHOST, route="relay")
    rule = Rules((), OUTBOUND).rule_for(relay)
    assert (rule.adapt, rule.concurrency, rule.message_rates) == (False, 20, ())
    named = Rules([own(name="relay", mx=["smtp.google.com"], message_rates=["100/1h"])], OUTBOUND).rule_for(relay)
    assert named.name == "relay"
    assert named.adapt

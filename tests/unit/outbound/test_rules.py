"""Which rule of routing is taken: conditions, order, our own domains, shares of hosts."""

from collections import Counter
from typing import Any

import pytest

from postroom.config.road import RouteSettings
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope
from postroom.mail.message import Message, QueueId, QueueIds
from postroom.mail.tags import header_tag
from postroom.outbound.rules import Rules

BOB = Address("bob", "example.org")


def rules_of(*routes: dict[str, Any]) -> Rules:
    return Rules([RouteSettings.model_validate(route) for route in routes])


def message(
    sender: str = "ann@ours.example",
    *,
    account: str = "",
    client: str = "",
    tags: tuple[str, ...] = (),
    number: int = 7,
) -> Message:
    path = Address.parse(sender) if sender else None
    return Message(QueueId(number), 0.0, Envelope(path), b"", 0, account, client, "", tags)


def test_without_rules_the_domain_is_the_destination() -> None:
    assert rules_of().destination(message(), BOB) == "example.org"


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        ({"senders": ["ann@OURS.example"]}, message("Ann@ours.example"), message("eve@ours.example")),
        ({"senders": ["@ours.example"]}, message("eve@ours.example"), message("eve@sub.ours.example")),
        ({"senders": ["@.ours.example"]}, message("eve@sub.ours.example"), message("eve@ours.example")),
        ({"senders": ["<>"]}, message(""), message("eve@ours.example")),
        ({"senders": ["@ours.example"]}, message("eve@ours.example"), message("")),
        ({"accounts": ["*"]}, message(account="ann@ours.example"), message()),
        ({"accounts": ["@ours.example"]}, message(account="ann@ours.example"), message(account="ann@other.example")),
        ({"accounts": ["ann@ours.example"]}, message(account="ann@ours.example"), message(account="eve@ours.example")),
        ({"clients": ["192.0.2.0/24"]}, message(client="192.0.2.9"), message(client="192.0.3.9")),
        ({"clients": ["2001:db8::/32", "192.0.2.0/24"]}, message(client="2001:db8::9"), message(client="")),
        ({"tags": ["bulk", "news"]}, message(tags=("news", "x")), message(tags=("x",))),
        ({"headers": {"List-Id": "*"}}, message(tags=(header_tag("List-Id", "*"),)), message(tags=("List-Id",))),
        (
            {"headers": {"List-Id": "*", "Precedence": "bulk"}},
            message(tags=("header:List-Id=*", "header:Precedence=bulk")),
            message(tags=("header:List-Id=*",)),
        ),
        ({"recipients": ["BOB@example.org"]}, message(), None),
        ({"domains": [".org"]}, message(), None),
        ({"domains": ["EXAMPLE.org"]}, message(), None),
    ],
)
def test_conditions(condition: dict[str, Any], matching: Message, other: Message | None) -> None:
    rules = rules_of({"name": "it", "via": "mx", **condition})
    assert rules.destination(matching, BOB) == "example.org it"
    if other is not None:
        assert rules.destination(other, BOB) == "example.org"
    elsewhere = rules.destination(matching, Address("eve", "elsewhere.example"))
    assert elsewhere == ("elsewhere.example" if {"recipients", "domains"} & set(condition) else "elsewhere.example it")


def test_all_conditions_must_hold() -> None:
    rules = rules_of({"name": "it", "senders": ["@ours.example"], "tags": ["bulk"], "domains": ["example.org"]})
    assert rules.destination(message(tags=("bulk",)), BOB) == "example.org it"
    assert rules.destination(message(), BOB) == "example.org"
    assert rules.destination(message("x@other.example", tags=("bulk",)), BOB) == "example.org"


def test_the_first_that_matches_is_taken() -> None:
    rules = rules_of(
        {"name": "a", "tags": ["bulk"]}, {"name": "b", "domains": ["example.org"]}, {"name": "c", "domains": [".org"]}
    )
    assert rules.destination(message(), BOB) == "example.org b"
    assert rules.destination(message(), Address("bob", "sub.example.org")) == "sub.example.org c"
    # what matches first leaves the house; the second is for the case that the domain is ours
    assert rules.destination(message(tags=("bulk",)), BOB) == "example.org a|b"


def test_a_rule_without_a_name_is_called_by_its_place() -> None:
    rules = rules_of({"name": "a", "tags": ["x"]}, {"via": "discard"})
    assert rules.destination(message(), BOB) == "example.org route 2"


def test_a_domain_that_nothing_else_matters_for_is_remembered() -> None:
    rules = rules_of({"name": "a", "domains": ["example.org"]}, {"name": "b", "tags": ["x"]})
    first = rules.destination(message(), BOB)
    assert rules.destination(message(tags=("x",)), BOB) is first
    assert rules.destination(message(), Address("bob", "example.net")) == "example.net"
    assert rules.destination(message(tags=("x",)), Address("bob", "example.net")) == "example.net b"


def test_what_is_remembered_is_bounded() -> None:
    rules = rules_of({"name": "a", "domains": ["example.org"]})
    for number in range(25_000):
        rules.destination(message(), Address("bob", f"d{number}.example"))
    assert len(rules._destinations) <= 10_000
    assert len(rules._candidates) <= 10_000


# Our own mail.


@pytest.mark.parametrize(
    ("route", "takes"),
    [
        ({"via": "smart"}, False),
        ({"via": "smart", "tags": ["x"]}, False),
        ({"via": "hold", "senders": ["<>"]}, False),
        ({"via": "smart", "domains": ["ours.example"]}, True),
        ({"via": "smart", "domains": ["ours.example"], "tags": ["y"]}, False),
        ({"via": "hold", "domains": ["ours.example"]}, True),
        ({"via": "smart", "recipients": ["ann@ours.example"]}, True),
        ({"via": "smart", "recipients": ["eve@ours.example"]}, False),
        ({"via": "mailbox", "domains": ["ours.example"]}, False),
    ],
)
def test_only_rules_that_name_them_take_our_own(route: dict[str, Any], takes: bool) -> None:
    assert rules_of(route).takes(message("", tags=("x",)), Address("ann", "ours.example")) is takes


def test_a_mailbox_rule_keeps_what_a_later_one_would_take() -> None:
    rules = rules_of(
        {"via": "mailbox", "recipients": ["ann@ours.example"]}, {"via": "dovecot", "domains": ["ours.example"]}
    )
    assert not rules.takes(message(), Address("ann", "ours.example"))
    assert rules.takes(message(), Address("bob", "ours.example"))


# Holding.


def test_who_is_held_goes_by_the_next_rule_once_released() -> None:
    rules = rules_of({"name": "keep", "via": "hold", "tags": ["x"]}, {"name": "all", "via": "smart"})
    held = message(tags=("x",))
    assert rules.holding(held, BOB) == "keep"
    assert rules.destination(held, BOB) == "example.org all"
    assert rules.holding(message(), BOB) == ""


def test_a_rule_before_the_one_that_holds_goes_first() -> None:
    rules = rules_of({"name": "urgent", "tags": ["u"]}, {"name": "keep", "via": "hold"})
    assert rules.holding(message(tags=("u",)), BOB) == ""
    assert rules.holding(message(), BOB) == "keep"
    assert rules.holding(message(), Address("ann", "ours.example"), ours=True) == ""


# Shares.


def test_weights_are_shares_of_the_messages_and_stick() -> None:
    rules = rules_of({"name": "both", "via": ["a", "b", "c"], "weights": [3, 1, 0]})
    ids = QueueIds(lambda: 1_800_000_000.0)
    chosen = Counter(rules.destination(message(number=ids.next()), BOB) for _ in range(8000))
    assert set(chosen) == {"example.org both", "example.org both/2"}
    assert 0.70 < chosen["example.org both"] / 8000 < 0.80
    assert len({rules.destination(message(number=99), BOB) for _ in range(10)}) == 1


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [0, 0]])
def test_weights_that_fit_no_hosts_are_a_mistake(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weight"):
        rules_of({"via": ["a", "b"], "weights": weights})


# Explaining.


def test_each_rule_is_told_of_up_to_the_one_that_matches() -> None:
    rules = rules_of(
        {"name": "a", "domains": ["elsewhere.example"]},
        {"name": "b", "senders": ["@news.example"]},
        {"name": "c", "via": "discard", "accounts": ["*"]},
        {"name": "d", "tags": ["x"]},
        {"name": "e"},
        {"name": "f"},
    )
    told = [(look.rule.name, look.obstacle) for look in rules.looks(message(), BOB, ours=False)]
    assert [name for name, _ in told] == ["a", "b", "c", "d", "e"]
    assert [bool(why) for _, why in told] == [True, True, True, True, False]
    assert "example.org" in told[0][1]
    assert "ann@ours.example" in told[1][1]
    assert all("ours" in look.obstacle for look in list(rules.looks(message(), BOB, ours=True))[1:])

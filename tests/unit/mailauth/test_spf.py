"""What SPF checks, for whom, and what is remembered of it (RFC 7208); the suite of openspf.org has its own file."""

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.hand_clock import HandClock

from postroom.clock import SystemClock
from postroom.dns.cache import CachingResolver
from postroom.dns.resolver import Answer
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.address import Address
from postroom.mailauth.model import Result, SpfCheck, SpfIdentity
from postroom.mailauth.spf import MAX_QUERIES, MAX_RECORD, MAX_TEXT, TIME_LIMIT, SpfChecker

SENDER = Address("user", "example.org")


def house(*lines: str) -> tuple[Zone, SpfChecker]:
    zone = Zone.parse("\n".join(lines))
    return zone, SpfChecker(ZoneResolver(zone), hostname="mx.receiver.example", clock=HandClock())


async def mail_from(checker: SpfChecker, client: str = "192.0.2.1", sender: Address = SENDER) -> SpfCheck:
    return (await checker.check(client, "mail.example.org", sender))[1]


async def test_both_identities() -> None:
    _, checker = house(
        'mail.example.org TXT "v=spf1 a -all"', "mail.example.org A 192.0.2.1", 'example.org TXT "v=spf1 -all"'
    )
    helo, sender = await checker.check("192.0.2.1", "mail.example.org", SENDER)
    assert helo == SpfCheck(
        Result.PASS, SpfIdentity.HELO, "mail.example.org", "postmaster@mail.example.org", mechanism="a"
    )
    assert sender == SpfCheck(Result.FAIL, SpfIdentity.MAIL_FROM, "example.org", "user@example.org", mechanism="-all")


async def test_the_null_sender_is_the_postmaster_of_the_helo_name() -> None:
    """RFC 7208 §2.4."""
    zone, checker = house('mail.example.org TXT "v=spf1 ip4:192.0.2.0/24 -all"')
    helo, sender = await checker.check("192.0.2.1", "MAIL.example.org.", None)
    assert helo.result is Result.PASS
    assert sender == replace(helo, identity=SpfIdentity.MAIL_FROM)
    assert sender.sender == "postmaster@mail.example.org"
    assert len(zone.asked) == 1


@pytest.mark.parametrize(
    "helo",
    ["[192.0.2.1]", "[IPv6:2001:db8::1]", "localhost", "", " ", ".", "a..example.org", "192.0.2.1", "-",
     "x" * 64 + ".example", "a b.example.org", "mail.example.org;", "ex\0ample.org", "mail.éxa_mple.org",
     "x." * 200 + "example"],
)  # fmt: skip
async def test_a_helo_that_names_no_domain(helo: str) -> None:
    """RFC 7208 §2.3, §4.3."""
    zone, checker = house()
    found, sender = await checker.check("192.0.2.1", helo, None)
    assert (found.result, found.domain, found.sender) == (Result.NONE, "", "")
    assert sender.result is Result.NONE
    assert not zone.asked


@pytest.mark.parametrize("helo", ["my_host.example.org", "bücher.example", "xn--bcher-kva.example", "a.b", "1.2.3.x4"])
async def test_a_helo_that_names_one(helo: str) -> None:
    zone, checker = house()
    found, _ = await checker.check("192.0.2.1", helo, SENDER)
    assert found.domain == found.domain.lower()
    assert found.domain.isascii()
    assert ("TXT", found.domain) in zone.asked


async def test_a_sender_at_an_address_literal() -> None:
    zone, checker = house()
    assert (await mail_from(checker, sender=Address("a", "[192.0.2.1]"))).result is Result.NONE
    assert ("TXT", "[192.0.2.1]") not in zone.asked


@pytest.mark.parametrize(
    ("client", "result"),
    [
        ("192.0.2.1", Result.PASS),
        ("::ffff:192.0.2.1", Result.PASS),
        ("::ffff:c000:201", Result.PASS),
        ("192.0.3.1", Result.FAIL),
        ("2001:db8::1", Result.PASS),
        ("2001:db8::1%eth0", Result.PASS),
        ("2001:DB9::1", Result.FAIL),
        ("", Result.NONE),
        ("/run/socket", Result.NONE),
        ("300.1.1.1", Result.NONE),
    ],
)
async def test_clients(client: str, result: Result) -> None:
    _, checker = house('example.org TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"')
    assert (await mail_from(checker, client)).result is result


@pytest.mark.parametrize(
    ("policy", "mechanism"),
    [
        ("v=spf1 -all", "-all"),
        ("v=spf1 ~ALL", "~ALL"),
        ("v=spf1 ?ip4:192.0.2.0/24 -all", "?ip4:192.0.2.0/24"),
        ("v=spf1 include:in.example -all", "include:in.example"),
        ("v=spf1 include:out.example ~all", "~all"),
        ("v=spf1 include:out.example", ""),
        ("v=spf1", ""),
        ("v=spf1 redirect=out.example", "-all"),
        ("v=spf1 redirect=in.example", "ip4:192.0.2.1"),
        ("v=spf1 include:", ""),
    ],
)
async def test_the_term_that_decided(policy: str, mechanism: str) -> None:
    _, checker = house(
        f'example.org TXT "{policy}"', 'in.example TXT "v=spf1 ip4:192.0.2.1 -all"', 'out.example TXT "v=spf1 -all"'
    )
    assert (await mail_from(checker)).mechanism == mechanism


async def test_why_there_is_no_result() -> None:
    zone, checker = house('example.org TXT "v=spf1 include:nothing.example"')
    check = await mail_from(checker)
    assert (check.result, check.reason) == (Result.PERMERROR, "include:nothing.example has no SPF record")
    zone.servfail.add("nothing.example")
    check = await mail_from(checker)
    assert check.result is Result.TEMPERROR
    assert check.reason
    check = await mail_from(checker, sender=Address("a", "other.example"))
    assert (check.result, check.reason) == (Result.NONE, "the domain has no SPF record")


# Explanations (RFC 7208 §6.2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Go away, %{s} at %{i}!", "Go away, user@example.org at 192.0.2.1!"),
        ("100%% of%_it is%-gone", "100% of it is%20gone"),
        ("%{r} says %{c}", "mx.receiver.example says 192.0.2.1"),
        ("not%valid", ""),
        ("é", ""),
        ("line\tend", ""),
        ("x" * 1000, "x" * MAX_TEXT),
    ],
)
async def test_explanations_are_bounded_ascii(text: str, shown: str) -> None:
    _, checker = house('example.org TXT "v=spf1 -all exp=exp.example.org"', f'exp.example.org TXT "{text}"')
    check = await mail_from(checker)
    assert (check.result, check.explanation) == (Result.FAIL, shown)


# Internationalized senders (RFC 8616 §4)


@pytest.mark.parametrize(
    ("policy", "result"),
    [
        ("v=spf1 exists:%{l}.x.example -all", Result.FAIL),
        ("v=spf1 include:%{l}.x.example ?all", Result.NEUTRAL),
        ("v=spf1 -INCLUDE:%{S}.x.example ?all", Result.NEUTRAL),
        ("v=spf1 a:%{l1r-}.x.example mx:%{l}.x.example ~all", Result.SOFTFAIL),
        ("v=spf1 include:%{d}.x.example -all", Result.PASS),
        ("v=spf1 exists:%{o}.x.example -all", Result.PASS),
    ],
)
async def test_a_local_part_that_is_not_ascii_matches_nothing(policy: str, result: Result) -> None:
    _, checker = house(
        f'example.org TXT "{policy}"',
        'example.org.x.example TXT "v=spf1 +all"',
        "example.org.x.example A 127.0.0.2",
        "*.x.example A 192.0.2.1",
    )
    check = await mail_from(checker, sender=Address("jörg", "example.org"))
    assert (check.result, check.sender) == (result, "jörg@example.org")


async def test_an_internationalised_domain_is_asked_for_in_a_labels() -> None:
    zone, checker = house('xn--bcher-kva.example TXT "v=spf1 -all"')
    assert (await mail_from(checker, sender=Address.parse("a@bücher.example"))).result is Result.FAIL
    assert ("TXT", "xn--bcher-kva.example") in zone.asked


# Limits (RFC 7208 §4.6.4, §11.1)


async def test_ten_terms() -> None:
    lines = [f'n{n}.example TXT "v=spf1 ?all"' for n in range(11)]
    ten = " ".join(f"include:n{n}.example" for n in range(10))
    _, checker = house(f'example.org TXT "v=spf1 {ten} -all"', f'more.example TXT "v=spf1 {ten} a -all"', *lines)
    assert (await mail_from(checker)).result is Result.FAIL
    assert (await mail_from(checker, sender=Address("a", "more.example"))).result is Result.PERMERROR


async def test_two_void_lookups() -> None:
    _, checker = house(
        'example.org TXT "v=spf1 a:no1.example a:no2.example -all"',
        'more.example TXT "v=spf1 a:no1.example a:no2.example a:no3.example -all"',
    )
    assert (await mail_from(checker)).result is Result.FAIL
    assert (await mail_from(checker, sender=Address("a", "more.example"))).result is Result.PERMERROR


async def test_questions_are_bounded() -> None:
    hosts = [f"m{n}.example MX {host} h{n}-{host}.example" for n in range(10) for host in range(10)]
    addresses = [f"h{n}-{host}.example A 198.51.100.1" for n in range(10) for host in range(10)]
    terms = " ".join(f"mx:m{n}.example" for n in range(10))
    zone, checker = house(f'example.org TXT "v=spf1 {terms} -all"', *hosts, *addresses)
    assert (await mail_from(checker)).result is Result.PERMERROR
    assert len(zone.asked) <= MAX_QUERIES + 2


async def test_the_time_is_bounded() -> None:
    clock = HandClock()

    class Slow(ZoneResolver):
        async def txt(self, name: str) -> Answer[bytes]:
            clock.advance(5)
            return await super().txt(name)

    zone = Zone.of({f"n{n}.example": {"TXT": [f"v=spf1 include:n{n + 1}.example"]} for n in range(9)})
    checker = SpfChecker(Slow(zone), hostname="x.example", clock=clock)
    _, check = await checker.check("192.0.2.1", "localhost", Address("a", "n0.example"))
    assert check.result is Result.TEMPERROR
    assert clock.time <= 1000 + TIME_LIMIT + 5


# What is remembered


async def test_what_is_remembered_follows_the_dns() -> None:
    zone, checker = house('example.org TXT "v=spf1 include:in.example -all"', 'in.example TXT "v=spf1 ip4:192.0.2.1"')
    assert (await mail_from(checker)).result is Result.PASS
    assert (await mail_from(checker, sender=Address("other", "example.org"))).sender == "other@example.org"
    zone.records["in.example"]["TXT"] = ("v=spf1 ip4:192.0.2.2",)
    assert (await mail_from(checker)).result is Result.FAIL
    zone.records["in.example"]["TXT"] = ("v=spf1 ip4:192.0.2.1",)
    assert (await mail_from(checker)).result is Result.PASS
    zone.servfail.add("in.example")
    assert (await mail_from(checker)).result is Result.TEMPERROR
    zone.servfail.clear()
    assert (await mail_from(checker)).result is Result.PASS
    del zone.records["in.example"]
    assert (await mail_from(checker)).result is Result.PERMERROR


async def test_it_is_remembered_as_long_as_the_dns_says() -> None:
    zone, _ = house('example.org TXT "v=spf1 ip4:192.0.2.1 -all"')
    clock = HandClock()
    checker = SpfChecker(CachingResolver(ZoneResolver(zone), clock), hostname="x.example", clock=clock)
    assert (await mail_from(checker)).result is Result.PASS
    zone.records["example.org"]["TXT"] = ("v=spf1 -all",)
    clock.advance(zone.ttl - 1)
    assert (await mail_from(checker)).result is Result.PASS
    clock.advance(2)
    assert (await mail_from(checker)).result is Result.FAIL


async def test_clients_are_told_apart() -> None:
    _, checker = house('example.org TXT "v=spf1 ip4:192.0.2.1 -all"')
    results = [(await mail_from(checker, f"192.0.2.{n}")).result for n in (1, 2, 1, 2)]
    assert results == [Result.PASS, Result.FAIL, Result.PASS, Result.FAIL]


@pytest.mark.parametrize("macro", ["%{l}.x.example", "%{S}.x.example", "%{h}.x.example"])
async def test_what_hangs_on_more_than_client_and_domain_is_not_remembered(macro: str) -> None:
    _, checker = house(
        f'example.org TXT "v=spf1 exists:{macro} -all"',
        "good.x.example A 127.0.0.2",
        "good%40example.org.x.example A 127.0.0.2",
        "good.example.x.example A 127.0.0.2",
    )
    results = []
    for local in ("good", "bad", "good", "bad"):
        _, check = await checker.check("192.0.2.1", f"{local}.example", Address(local, "example.org"))
        results.append(check.result)
    assert results == [Result.PASS, Result.FAIL, Result.PASS, Result.FAIL]


async def test_a_failure_that_does_not_show_is_not_remembered() -> None:
    """RFC 7208 §5.5: ptr does not match where the DNS fails; the next time it may."""
    zone, checker = house(
        'example.org TXT "v=spf1 ptr -all"', "1.2.0.192.in-addr.arpa PTR mx.example.org", "mx.example.org A 192.0.2.1"
    )
    zone.servfail.add("1.2.0.192.in-addr.arpa")
    assert (await mail_from(checker)).result is Result.FAIL
    zone.servfail.clear()
    assert (await mail_from(checker)).result is Result.PASS


async def test_what_is_remembered_is_bounded() -> None:
    zone = Zone.of({"*.example": {"TXT": ["v=spf1 -all"]}})
    checker = SpfChecker(ZoneResolver(zone), hostname="x.example", clock=HandClock(), size=3)
    for n in range(10):
        await checker.check("192.0.2.1", "localhost", Address("a", f"n{n}.example"))
    assert len(checker) == 3


async def test_what_follows_from_large_answers_is_not_remembered() -> None:
    zone, checker = house('example.org TXT "v=spf1 -all"')
    for number in range(10):
        zone.add("example.org", "TXT", " ".join([f'"{number}{"x" * 250}"'] * 5))
    _, found = await checker.check("192.0.2.1", "localhost", SENDER)
    assert found.result is Result.FAIL
    assert len(checker) == 0


async def test_long_records_cost_little() -> None:
    """Ten of 64 KiB, which the macro keeps from being remembered: they are worked out for each message."""
    zone, checker = house()
    long = "v=spf1 exists:%{l}.example.org " + "ip4:198.51.100.1 " * 3800 + "-all"
    strings = " ".join(f'"{long[at : at + 250]}"' for at in range(0, len(long), 250))
    zone.add("example.org", "TXT", "v=spf1 " + " ".join(f"include:i{number}.example.org" for number in range(10)))
    for number in range(10):
        zone.add(f"i{number}.example.org", "TXT", strings)
    started = time.process_time()
    for _ in range(10):
        found = await mail_from(checker)
    assert time.process_time() - started < 1
    assert found.result is Result.PERMERROR
    assert f"more-than-{MAX_RECORD}-octets" in found.reason


async def test_a_record_of_the_greatest_length() -> None:
    zone, checker = house()
    policy = f"v=spf1 {'ip4:198.51.100.1 ' * 238}ip4:192.0.2.1 -all"
    assert len(policy) <= MAX_RECORD
    zone.add("example.org", "TXT", " ".join(f'"{policy[at : at + 250]}"' for at in range(0, len(policy), 250)))
    assert (await mail_from(checker)).result is Result.PASS


async def test_checks_at_the_same_time_do_not_touch_each_other() -> None:
    zone = Zone.of({f"n{n}.example": {"TXT": [f"v=spf1 ip4:192.0.2.{n} -all"]} for n in range(50)})
    checker = SpfChecker(CachingResolver(ZoneResolver(zone), SystemClock()), hostname="x.example", clock=SystemClock())
    found = await asyncio.gather(
        *[checker.check("192.0.2.7", "localhost", Address("a", f"n{n}.example")) for n in range(50)]
    )
    assert [n for n, (_, check) in enumerate(found) if check.result is Result.PASS] == [7]


# Hostile records


@pytest.mark.parametrize(
    "policy",
    [
        "v=spf1 exists:%{d" + "9" * 5000 + "}.x.example -all",
        "v=spf1 ip6:fe80::1%eth0 -all",
        "v=spf1 ip6:fe80::1%eth0/64 -all",
        "v=spf1 ip4:1.2.3.4/" + "9" * 5000 + " -all",
        "v=spf1 ip4:１.2.3.4 -all",
        "v=spf1 " + "a " * 5000,
        "v=spf1 include:" + "x" * 60000,
        "v=spf1 =x -all",
        "v=spf1 a:%{ -all",
        "v=spf1 redirect=example.org",
        "v=spf1 include:example.org -all",
        "v=spf1 a://32 -all",
    ],
)
async def test_a_hostile_record_is_an_error_and_nothing_worse(policy: str) -> None:
    _, checker = house(f'example.org TXT "{policy}"')
    started = time.process_time()
    check = await mail_from(checker)
    assert check.result is Result.PERMERROR
    assert len(check.reason) <= MAX_TEXT
    assert check.reason.isprintable()
    assert time.process_time() - started < 0.5


WORDS = st.sampled_from(
    ["v=spf1", "-all", "~all", "a", "mx", "ptr", "a/24", "a//64", "include:example.org", "redirect=", "exp=", "exists:",
     "ip4:192.0.2.1", "ip6:::1", "%{", "}", "%{l}", "%{d2r.-}", "%%", "/0", "//0", ":", "=", ".example", "\n",
     "\x80", "é"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=8), st.sampled_from([" ", ""]), st.text(max_size=20))
def test_any_record_gets_a_result(words: list[str], between: str, local: str) -> None:
    zone = Zone()
    zone.add("example.org", "TXT", ("v=spf1 " + between.join(words)).replace('"', ""))
    zone.add("example.org", "A", "192.0.2.9")
    zone.add("example.org", "MX", "0 .")
    checker = SpfChecker(ZoneResolver(zone), hostname="x.example", clock=HandClock())
    for client in ("192.0.2.1", "2001:db8::1"):
        _, check = asyncio.run(checker.check(client, local, Address(local, "example.org")))
        assert check.result.value in {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
        assert (check.reason + check.explanation + check.mechanism).isascii()

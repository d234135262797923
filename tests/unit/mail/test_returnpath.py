"""Return paths that come back: SRS as other forwarders understand it, VERP, and what is forged or too old."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.address import Address
from postroom.mail.message import QueueId
from postroom.mail.returnpath import Flaw, Forwarded, ReturnPaths, Sent, mark_of, may_return

NOW = 1_800_000_000.0
DAY = 86400.0
PATHS = ReturnPaths(b"s" * 32, 14 * DAY)
OTHERS = ReturnPaths(b"o" * 32, 14 * DAY)
ALICE = Address.parse("Alice@sender.example")
RITA = Address.parse("rita@remote.example")

LOCALS = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}", fullmatch=True)


def forwarded(sender: Address, domain: str = "ours.example", paths: ReturnPaths = PATHS, now: float = NOW) -> Address:
    path = paths.srs(sender, domain, now)
    assert path is not None
    return path


def test_srs0_has_the_form_that_other_forwarders_know() -> None:
    path = forwarded(ALICE)
    assert path.domain == "ours.example"
    assert re.fullmatch(r"SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=sender\.example=Alice", path.local)
    assert PATHS.read(path, NOW) == Forwarded(ALICE)


@given(LOCALS, st.sampled_from(["a.example", "xn--mnchen-3ya.example"]), st.floats(0, 3e9), st.floats(0, 13 * DAY))
def test_srs_comes_back_to_whoever_sent(local: str, domain: str, now: float, passed: float) -> None:
    sender = Address(local, domain)
    path = PATHS.srs(sender, "ours.example", now)
    if path is not None:
        assert Address.parse(str(path)) == path
        found = PATHS.read(path, now + passed)
        again = PATHS.srs(sender, "ours.example", now)
        assert path == again
        # What is wrapped already leads to the forwarder that wrapped it
        assert isinstance(found, Forwarded)
        if not local.lower().startswith(("srs0", "srs1")):
            assert found.original == sender


@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase])
def test_srs_survives_a_change_of_case(change: object) -> None:
    path = forwarded(ALICE)
    changed = Address(change(path.local), path.domain)  # type: ignore[operator] # of str's methods
    found = PATHS.read(changed, NOW)
    assert isinstance(found, Forwarded)
    assert found.original.key == ALICE.key


def test_a_chain_of_forwarders_comes_back_in_two_steps() -> None:
    second, third = ReturnPaths(b"2" * 32, 14 * DAY), ReturnPaths(b"3" * 32, 14 * DAY)
    at_first = forwarded(ALICE, "one.example")
    at_second = forwarded(at_first, "two.example", second)
    at_third = forwarded(at_second, "three.example", third)
    assert at_second.local.startswith("SRS1=")
    assert at_second.local.endswith("=one.example=" + at_first.local.removeprefix("SRS0"))
    # However many there are: from the last to the first, and from there to the sender
    assert third.read(at_third, NOW) == Forwarded(at_first)
    assert second.read(at_second, NOW) == Forwarded(at_first)
    assert PATHS.read(at_first, NOW) == Forwarded(ALICE)


@pytest.mark.parametrize("separator", "=-+")
def test_what_another_program_wrapped_is_wrapped_again(separator: str) -> None:
    theirs = Address.parse(f"SRS0{separator}HHHH=2W=a.example=bob@fwd.example")
    path = forwarded(theirs)
    assert re.fullmatch(rf"SRS1=[A-Z2-7]{{8}}=fwd\.example=\{separator}HHHH=2W=a\.example=bob", path.local)
    assert PATHS.read(path, NOW) == Forwarded(theirs)
    wrapped = Address.parse(f"SRS1=XXXX=fwd.example={separator}HHHH=2W=a.example=bob@mid.example")
    assert PATHS.read(forwarded(wrapped), NOW) == Forwarded(theirs)


@pytest.mark.parametrize("sender", [ALICE, Address.parse("SRS0=HHHH=2W=a.example=bob@fwd.example")])
def test_srs_ends(sender: Address) -> None:
    path = forwarded(sender)
    assert isinstance(PATHS.read(path, NOW + 14 * DAY), Forwarded)
    assert isinstance(PATHS.read(path, NOW + 16 * DAY), Flaw)
    assert isinstance(PATHS.read(path, NOW - 2 * DAY), Flaw)
    assert isinstance(PATHS.read(path, NOW + 1024 * DAY + 20 * DAY), Flaw)  # the two digits come round


def test_srs0_that_is_too_old_is_told_from_a_forged_one() -> None:
    assert PATHS.read(forwarded(ALICE), NOW + 16 * DAY) is Flaw.EXPIRED


@pytest.mark.parametrize(
    "local",
    [
        "SRS0=AAAAAAAA=2W=sender.example=alice",
        "SRS0=AAAA=2W=sender.example=alice",
        "SRS0==2W=sender.example=alice",
        "SRS0=AAAAAAAA=11=sender.example=alice",
        "SRS0=AAAAAAAA",
        "SRS0=é=2W=sender.example=alice",
        "srs0+",
        "SRS1=AAAAAAAA=fwd.example==HHHH=2W=a.example=bob",
        "SRS1=AAAAAAAA=fwd.example=bob",
        "b-" + "a" * 32,
    ],
)
def test_nobody_else_can_make_one(local: str) -> None:
    assert PATHS.read(Address(local, "ours.example"), NOW) is Flaw.FORGED


@pytest.mark.parametrize("local", ["bob", "b-team", "b-" + "a" * 31, "b-" + "a" * 33, "srs0", "SRS", "srs2=x", "s", ""])
def test_ordinary_addresses_are_left_alone(local: str) -> None:
    assert PATHS.read(Address(local, "ours.example"), NOW) is None


def test_another_store_has_other_codes() -> None:
    assert OTHERS.read(forwarded(ALICE), NOW) is Flaw.FORGED
    assert OTHERS.read(PATHS.verp(QueueId(7), RITA, "ours.example", NOW), NOW) is Flaw.FORGED


@given(st.text(max_size=70))
def test_anything_can_be_read(local: str) -> None:
    for start in ("", "b-", "SRS0=", "SRS1=", "srs0+A=AA="):
        found = PATHS.read(Address(start + local, "ours.example"), NOW)
        assert found is None or found is Flaw.FORGED


@given(st.integers(0, 39), st.sampled_from("abcdefgh234567"))
def test_each_letter_of_the_code_counts(place: int, letter: str) -> None:
    local = forwarded(ALICE).local
    changed = local[:place] + letter + local[place + 1 :]
    if changed.lower() != local.lower():
        assert not isinstance(PATHS.read(Address(changed, "ours.example"), NOW), Forwarded)


def test_a_local_part_has_no_more_than_64_octets() -> None:
    room = 64 - len("SRS0=AAAAAAAA=AA==sender.example")
    assert len(forwarded(Address("a" * room, "sender.example")).local) == 64
    assert PATHS.srs(Address("a" * (room + 1), "sender.example"), "ours.example", NOW) is None
    assert PATHS.srs(Address("é" * room, "sender.example"), "ours.example", NOW) is None
    assert PATHS.srs(Address("a", "[192.0.2.1]"), "ours.example", NOW) is None


@given(st.integers(0, 2**63 - 1), st.floats(0, 4e9), st.floats(0, 13 * DAY))
def test_verp_comes_back(queue_id: int, now: float, passed: float) -> None:
    path = PATHS.verp(QueueId(queue_id), RITA, "ours.example", now)
    assert len(path.local) == 34
    assert may_return(path.local)
    assert Address.parse(str(path)) == path
    for written in (path, Address(path.local.upper(), path.domain)):
        assert PATHS.read(written, now + passed) == Sent(QueueId(queue_id), mark_of(RITA))


def test_verp_ends_and_cannot_be_changed() -> None:
    path = PATHS.verp(QueueId(7), RITA, "ours.example", NOW)
    assert PATHS.read(path, NOW + 16 * DAY) is Flaw.EXPIRED
    assert PATHS.read(path, NOW - 2 * DAY) is Flaw.EXPIRED
    for place in range(2, 34):
        letter = "a" if path.local[place] != "a" else "b"
        changed = path.local[:place] + letter + path.local[place + 1 :]
        assert PATHS.read(Address(changed, path.domain), NOW) is Flaw.FORGED


def test_recipients_of_one_message_are_told_apart_and_case_is_not() -> None:
    marks = {mark_of(Address(f"user{number}", "remote.example")) for number in range(1000)}
    assert len(marks) == 1000
    assert mark_of(Address.parse("RITA@remote.example")) == mark_of(RITA)

"""DANE and MTA-STS: of each domain Postroom thinks what Postfix thinks, with the same zones and resolver.

Where the two differ the RFC is quoted.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.postfix import why_not as why_no_postfix
from tests.interop.tlspeers import TlsPostfix
from tests.interop.verdict import Verdict, wanted
from tests.system.fixtures import MakeProgram
from tests.system.program import Program, wait_until
from tests.world import atlas
from tests.world.ground import Ground, standing, why_not

ALICE = "alice@example.org"

POSTFIX_ELSE = {
    # A policy table, which is where postfix-mta-sts-resolver speaks, comes before TLSA records. Here DANE succeeds, and
    # the certificate has another name than the policy allows. A server that does both goes by DANE (issue 4).
    "dane-sts.signed.test": Verdict("deferred"),
    # Where a handshake fails for no policy's sake, Postfix goes in the clear at the next attempt, we at once.
    "broken.plain.test": Verdict("deferred"),
}
"""What Postfix makes of domains of which we think otherwise."""

VERIFIED = ("dane", "sts enforce")
"""Policies that vouch for the host, as the history calls them where they hold."""

pytestmark = [
    pytest.mark.needs("postfix", "mta-sts-daemon", "unshare", "unbound"),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.skipif(bool(why_no_postfix()), reason=why_no_postfix()),
]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """The world."""
    with standing(tmp_path / "world") as ground:
        yield ground


@pytest.fixture
def postfix(ground: Ground, open_folder: Path) -> Iterator[TlsPostfix]:
    """Postfix in it."""
    server = TlsPostfix(open_folder / "peer", ground)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def table(ground: Ground) -> dict[str, Verdict]:
    """What the RFCs make of each case."""
    return {domain.name: wanted(domain) for domain in atlas.tls_cases(ground.world)}


def test_postfix_thinks_what_the_rfcs_say(ground: Ground, postfix: TlsPostfix) -> None:
    """So that the table is not ours alone."""
    found = postfix.verdicts(list(table(ground)))
    print("\n".join(f"{name:30} {found[name]}" for name in sorted(found)))
    assert found == table(ground) | POSTFIX_ELSE


def test_postroom_thinks_what_the_rfcs_say(ground: Ground, make_program: MakeProgram) -> None:
    settings = ground.settings() | {"smtp": {"trusted_networks": ["127.0.0.0/8"]}}
    program = make_program(settings).add(ALICE).start()
    domains = list(table(ground))
    with program.smtp() as client:
        content = b"Subject: verdict\r\nMessage-ID: <verdict@example.org>\r\n\r\nhello\r\n"
        client.sendmail(ALICE, [f"someone.postroom@{domain}" for domain in domains], content)
    wait_until(lambda: set(domains) <= set(attempts(program)), "each domain was tried", 60)
    found = verdicts(program)
    print("\n".join(f"{name:30} {found[name]}" for name in sorted(found)))
    assert found == table(ground)


def attempts(program: Program) -> list[str]:
    """The domains that were tried."""
    return [line["recipient"].rpartition("@")[2] for line in program.told("attempt_made")]


def verdicts(program: Program) -> dict[str, Verdict]:
    """What `why` says of the first attempt at each domain."""
    (life,) = program.listing("why", "verdict@example.org")["messages"]
    found: dict[str, Verdict] = {}
    for moment in life["moments"]:
        end, detail, domain = moment["kind"], moment["detail"], moment["recipient"].rpartition("@")[2]
        if end in ("relayed", "deferred", "failed"):
            policy = detail.get("policy", "")
            level = "plain" if not detail.get("tls") else "verified" if policy in VERIFIED else "encrypted"
            found.setdefault(domain, Verdict(end, level if end == "relayed" else "", f"{policy}: {moment['text']}"))
    return found

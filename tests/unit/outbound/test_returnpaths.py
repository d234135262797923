"""Recipients with return paths of their own: a MAIL for each, one connection for all."""

from dataclasses import replace

from tests.fakes.peer import Network, ScriptedPeer
from tests.unit.outbound.making import make_carrier, make_request

from postroom.mail.address import Address
from postroom.mail.delivery import Deferred, Delivered, DeliveryRequest

NAMES = ("a@example.org", "b@example.org", "c@example.org")


def marked(*paths: str) -> DeliveryRequest:
    """A request whose recipients have these return paths; ``""``: that of the envelope."""
    request = make_request(*NAMES[: len(paths)])
    recipients = tuple(
        replace(one, return_path=Address.parse(path) if path else None)
        for one, path in zip(request.recipients, paths, strict=True)
    )
    return replace(request, recipients=recipients)


def mails(peer: ScriptedPeer) -> list[str]:
    return [line.split(">")[0] + ">" for line in peer.commands if line.startswith("MAIL")]


async def test_each_return_path_has_a_transaction_of_its_own() -> None:
    peer = ScriptedPeer()
    outcomes = await make_carrier(peer).deliver(marked("b-one@us.example", "", "b-two@us.example"))
    assert mails(peer) == [
        "MAIL FROM:<b-one@us.example>",
        "MAIL FROM:<from@example.net>",
        "MAIL FROM:<b-two@us.example>",
    ]
    assert [isinstance(outcomes[number], Delivered) for number in (1, 2, 3)] == [True] * 3
    assert peer.connections == 1


async def test_recipients_of_one_return_path_go_together() -> None:
    peer = ScriptedPeer()
    await make_carrier(peer).deliver(marked("srs@us.example", "srs@us.example", ""))
    assert mails(peer) == ["MAIL FROM:<srs@us.example>", "MAIL FROM:<from@example.net>"]


async def test_who_is_refused_does_not_stop_the_others() -> None:
    peer = ScriptedPeer(replies={"RCPT": ["550 5.1.1 nobody", "250 ok", "250 ok"]})
    outcomes = await make_carrier(peer).deliver(marked("b-one@us.example", "b-two@us.example", "b-three@us.example"))
    assert [isinstance(outcomes[number], Delivered) for number in (1, 2, 3)] == [False, True, True]


async def test_a_host_that_does_not_answer_is_asked_once() -> None:
    network = Network({})
    outcomes = await make_carrier(network).deliver(marked("b-one@us.example", "b-two@us.example", "b-three@us.example"))
    assert len(network.tried) == len(set(network.tried))
    assert all(isinstance(outcome, Deferred) for outcome in outcomes.values())
    assert sorted(outcomes) == [1, 2, 3]


async def test_an_ambiguous_end_is_only_of_those_who_had_it() -> None:
    peer = ScriptedPeer(close_at=".")
    outcomes = await make_carrier(peer).deliver(marked("b-one@us.example", "b-two@us.example"))
    first, second = outcomes[1], outcomes[2]
    assert isinstance(first, Deferred)
    assert isinstance(second, Deferred)
    assert (first.ambiguous, second.ambiguous) == (True, False)

"""Asks the stages of a role in order; the first objection stands."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from postroom.mail.session import Client
from postroom.policy.stage import AtMail, AtMessage, AtRcpt, Stage
from postroom.policy.verdict import ACCEPT, Accept, Verdict

_Moment = TypeVar("_Moment")


class Chain:
    """Built once per role. What no stage wants to know is not asked."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._connect = tuple([stage.on_connect for stage in stages if stage.on_connect is not None])
        self._hello = tuple([stage.on_hello for stage in stages if stage.on_hello is not None])
        self._mail = tuple([stage.on_mail for stage in stages if stage.on_mail is not None])
        self._rcpt = tuple([stage.on_rcpt for stage in stages if stage.on_rcpt is not None])
        self._message = tuple([stage.on_message for stage in stages if stage.on_message is not None])
        self._reads = tuple([stage.reads for stage in stages if stage.on_message is not None])
        self._end = tuple([stage.on_end for stage in stages if stage.on_end is not None])

    def on_connect(self, client: Client) -> Awaitable[Verdict]:
        """Whether the client is greeted."""
        return _ask(self._connect, client)

    def on_hello(self, client: Client) -> Awaitable[Verdict]:
        """Whether its name is taken."""
        return _ask(self._hello, client)

    def on_mail(self, moment: AtMail) -> Awaitable[Verdict]:
        """Whether the sender is taken."""
        return _ask(self._mail, moment)

    def on_rcpt(self, moment: AtRcpt) -> Awaitable[Verdict]:
        """Whether the recipient is taken."""
        return _ask(self._rcpt, moment)

    def reads_messages_of(self, client: Client) -> bool:
        """Whether any stage wants to be asked about the content that this client brings."""
        for reads in self._reads:  # noqa: SIM110 - any() would make a generator for each message
            if reads(client):
                return True
        return False

    async def on_message(self, moment: AtMessage) -> Verdict:
        """Whether the content is taken, and what all stages together want to go with it."""
        verdicts: list[Accept] = []
        for stage in self._message:
            verdict = await stage(moment)
            if not isinstance(verdict, Accept):
                return verdict
            verdicts.append(verdict)
        return _joined(verdicts)

    def on_end(self, client: Client, *, accepted: bool) -> None:
        """The transaction is over, with a message that was taken in or without."""
        for tell in self._end:
            tell(client, accepted)


async def _ask(stages: Sequence[Callable[[_Moment], Awaitable[Verdict]]], moment: _Moment) -> Verdict:
    for stage in stages:
        verdict = await stage(moment)
        if not isinstance(verdict, Accept):
            return verdict
    return ACCEPT


def _joined(verdicts: Sequence[Accept]) -> Accept:
    """What goes with the message: the fields in the order of the stages, and the first reason to hold it."""
    if len(verdicts) < 2:
        return verdicts[0] if verdicts else ACCEPT
    facts: dict[str, Any] = {}
    for verdict in verdicts:
        facts |= verdict.facts
    return Accept(
        b"".join([verdict.fields for verdict in verdicts]),
        tuple(dict.fromkeys([tag for verdict in verdicts for tag in verdict.tags])),
        next((verdict.hold for verdict in verdicts if verdict.hold), ""),
        facts,
    )

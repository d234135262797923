"""What the child tells the node: outcomes, what was met of TLS, faults, lines for the log.

In JSON, and its form is checked on arrival: the child reads what strangers say, so that nothing but plain values is
taken from it.
"""

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from postroom.mail.cause import Cause
from postroom.mail.delivery import NO_PEER, Deferred, Delivered, Failed, Outcome, Peer
from postroom.mail.reply import Reply
from postroom.mail.value import value
from postroom.net.apart.frames import WireError
from postroom.outbound.tlsmet import AppliedPolicy, TlsMet
from postroom.outbound.tlsstore import TlsLevel


@value(frozen=True, slots=True)
class Answered:
    """The outcomes of the request with this number."""

    number: int
    outcomes: dict[int, Outcome]


@value(frozen=True, slots=True)
class Faulted:
    """The carrier raised something for the request with this number: a bug."""

    number: int
    error: str
    trace: str


@value(frozen=True, slots=True)
class Met:
    """What came of TLS with a host."""

    met: TlsMet


@value(frozen=True, slots=True)
class Said:
    """A library said something through ``logging``; ``level`` as there."""

    library: str
    level: int
    text: str


@value(frozen=True, slots=True)
class Ready:
    """The child takes requests; or, with ``trouble``, it cannot and ends."""

    trouble: str = ""


Event = Answered | Faulted | Met | Said | Ready
Plain = list[Any]

PEERS_KNOWN = 500
"""Peers that are remembered as they were read; they come again with each outcome."""

_CAUSES = {cause.value: cause for cause in Cause}
_LEVELS = {level.value: level for level in TlsLevel}


def write_event(event: Event) -> Plain:
    """An event as plain values."""
    match event:
        case Answered(number=number, outcomes=outcomes):
            return ["o", number, *[[one, *_outcome(outcome)] for one, outcome in outcomes.items()]]
        case Faulted():
            return ["f", event.number, event.error, event.trace]
        case Met(met=met):
            applied = met.applied
            level = None if met.level is None else met.level.value
            return [
                "t", met.site, met.domains, [applied.kind, applied.lines, applied.mx], _peer(met.peer),
                level, met.failure, met.reason, met.checked,
            ]  # fmt: skip
        case Said():
            return ["l", event.library, event.level, event.text]
        case Ready(trouble=trouble):
            return ["r", trouble]


def write_events(events: Sequence[Plain]) -> bytes:
    """Some of them for one frame."""
    try:
        return orjson.dumps(events)
    except TypeError:  # a text with lone surrogates, such as the name of a file
        return json.dumps(events, ensure_ascii=False).encode("utf-8", "replace")


def read_events(data: bytes | memoryview) -> list[Event]:
    """The events of one frame. WireError if that is not what it holds."""
    try:
        return [_event(*plain) for plain in orjson.loads(data)]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise WireError(f"no event of a carrier: {error!r}") from error


# Each part. ---------------------------------------------------------------------------


def _event(kind: str, *rest: Any) -> Event:
    match kind:
        case "o":
            number, *outcomes = rest
            return Answered(_number(number), {_number(one): _read_outcome(*plain) for one, *plain in outcomes})
        case "t":
            site, domains, (policy, lines, mx), peer, level, failure, reason, checked = rest
            applied = AppliedPolicy(_text(policy), _texts(lines), _texts(mx))
            found = None if level is None else _LEVELS[level]
            return Met(
                TlsMet(
                    _text(site), _texts(domains), applied, _read_peer(peer), found, _text(failure), _text(reason),
                    _truth(checked),
                )
            )  # fmt: skip
        case "f":
            number, error, trace = rest
            return Faulted(_number(number), _text(error), _text(trace))
        case "l":
            library, level, text = rest
            return Said(_text(library), _number(level), _text(text))
        case "r":
            return Ready(*map(_text, rest))
        case _:
            raise WireError(f"no event: {kind!r}")


def _outcome(outcome: Outcome) -> Plain:
    reply = outcome.reply
    said = [reply.code, reply.status, reply.lines]
    match outcome:
        case Delivered():
            return ["d", said, _peer(outcome.peer), outcome.notifies, outcome.keeps_time, outcome.detail]
        case Deferred():
            return [
                "l", said, _peer(outcome.peer), outcome.ambiguous, outcome.detail, outcome.cause.value, outcome.retry_at
            ]  # fmt: skip
        case Failed():
            return ["f", said, _peer(outcome.peer), outcome.detail, outcome.cause.value]


def _read_outcome(kind: str, said: Plain, peer: Plain | None, *rest: Any) -> Outcome:
    code, status, lines = said
    if type(code) is not int or not 200 <= code < 600 or not lines:
        raise WireError("no reply")
    reply = Reply(code, _text(status), _texts(lines))
    met = _read_peer(peer)
    match kind:
        case "d":
            notifies, keeps_time, detail = rest
            return Delivered(reply, met, _truth(notifies), _truth(keeps_time), _text(detail))
        case "l":
            ambiguous, detail, cause, retry_at = rest
            return Deferred(reply, met, _truth(ambiguous), _text(detail), _CAUSES[cause], _moment(retry_at))
        case "f":
            detail, cause = rest
            return Failed(reply, met, _text(detail), _CAUSES[cause])
        case _:
            raise WireError(f"no outcome: {kind!r}")


def _peer(peer: Peer) -> Plain | None:
    if peer is NO_PEER:
        return None
    return [peer.host, peer.address, peer.port, peer.tls, peer.policy, peer.source]


def _read_peer(plain: Plain | None) -> Peer:
    return NO_PEER if plain is None else _peer_of(*plain)


@lru_cache(PEERS_KNOWN, typed=True)
def _peer_of(*plain: Any) -> Peer:
    host, address, port, *rest = plain
    tls, policy, source = _texts(rest)
    return Peer(_text(host), _text(address), _number(port), tls, policy, source)


def _text(found: Any) -> str:
    if type(found) is not str:
        raise WireError("no text")
    return found


def _texts(found: Any) -> tuple[str, ...]:
    if type(found) is not list:
        raise WireError("no list")
    for one in found:
        if type(one) is not str:
            raise WireError("no text")
    return tuple(found)


def _number(found: Any) -> int:
    if type(found) is not int:
        raise WireError("no number")
    return found


def _truth(found: Any) -> bool:
    if type(found) is not bool:
        raise WireError("neither true nor false")
    return found


def _moment(found: Any) -> float | None:
    if found is None:
        return None
    if type(found) not in {int, float} or not math.isfinite(found):
        raise WireError("no moment")
    return float(found)

"""Requests on their way to the child: plain values in ``marshal``, as the child trusts the node; content stays bytes.

What no carrier looks at stays behind: the envelope's recipients, and how often and with what success each was tried.
"""

import marshal
from collections.abc import Sequence
from dataclasses import replace

from postroom.config.section import Rate
from postroom.mail.delivery import DeliveryRequest, QueuedRecipient, RouteKind, Site, StsMode, StsPolicy
from postroom.mail.message import Message
from postroom.mail.plain import (
    Plain,
    read_address,
    read_envelope,
    read_recipient,
    write_address,
    write_envelope,
    write_recipient,
)
from postroom.outbound.shaping.rules import Rule

MAX_KNOWN = 2000
"""Sites and rules that are remembered as they were written and read; they come again with each request."""

_VERSION = 4

_KINDS = {kind.value: kind for kind in RouteKind}


def write_request(number: int, request: DeliveryRequest, rule: Rule) -> Plain:
    """The request under its number, with the rule of traffic that it goes by."""
    message = request.message
    return (
        number,
        (
            message.queue_id,
            message.received_at,
            message.prefix,
            message.content_size,
            message.account,
            message.client,
            message.message_id,
            message.tags,
        ),
        write_envelope(message.envelope),
        [_recipient(one) for one in request.recipients],
        _way(request.site, rule),
        request.content,
        request.source,
    )


def write_requests(requests: list[Plain]) -> bytes:
    """Some of them for one frame."""
    return marshal.dumps(requests, _VERSION)


class RequestReader:
    """Reads them. Of equal sites and rules one is made, as long as they are remembered."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Site, Rule]] = {}

    def read(self, data: bytes | memoryview) -> list[tuple[int, DeliveryRequest, Rule]]:
        """The requests of one frame, each with its number and its rule."""
        return [self._request(plain) for plain in marshal.loads(data)]  # noqa: S302 - our own node wrote it

    def _request(self, plain: Plain) -> tuple[int, DeliveryRequest, Rule]:
        number, message, envelope, recipients, way, content, source = plain
        found = self._known.get(way)
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            found = self._known[way] = _read_way(way)
        site, rule = found
        queue_id, received_at, *rest = message
        whole = Message(queue_id, received_at, read_envelope(envelope), *rest)
        return (
            number,
            DeliveryRequest(whole, tuple([_read_recipient(one) for one in recipients]), site, content, source),
            rule,
        )


def write_numbers(numbers: Sequence[int]) -> bytes:
    """The numbers of requests."""
    return marshal.dumps(list(numbers), _VERSION)


def read_numbers(data: bytes | memoryview) -> list[int]:
    """The numbers of requests."""
    numbers: list[int] = marshal.loads(data)  # noqa: S302 - our own node wrote it
    return numbers


# Each part. ---------------------------------------------------------------------------


def _recipient(queued: QueuedRecipient) -> Plain:
    return queued.number, write_recipient(queued.recipient), write_address(queued.return_path)


def _read_recipient(plain: Plain) -> QueuedRecipient:
    number, recipient, return_path = plain
    return QueuedRecipient(number, read_recipient(recipient), return_path=read_address(return_path))


_ways: dict[tuple[int, int], tuple[Site, Rule, bytes]] = {}


def _way(site: Site, rule: Rule) -> bytes:
    """Site and rule. Those of a line stay the same objects, and are kept here, so that an id stays theirs."""
    found = _ways.get((id(site), id(rule)))
    if found is None:
        if len(_ways) >= MAX_KNOWN:
            _ways.clear()
        written = marshal.dumps((_site(site), _rule(rule)), _VERSION)
        found = _ways[id(site), id(rule)] = (site, rule, written)
    return found[2]


def _read_way(written: bytes) -> tuple[Site, Rule]:
    site, rule = marshal.loads(written)  # noqa: S302 - our own node wrote it
    return _read_site(site), _read_rule(rule)


def _site(site: Site) -> Plain:
    sts = site.sts
    return (
        site.key,
        site.kind.value,
        site.hosts,
        site.port,
        site.route,
        site.relays,
        site.pool,
        site.schedule,
        site.dnssec,
        None if sts is None else (sts.domain, sts.mode.value, sts.mx, sts.policy_id, sts.expires_at, sts.text),
    )


def _read_site(plain: Plain) -> Site:
    key, kind, *rest, sts = plain
    policy = None if sts is None else StsPolicy(sts[0], StsMode(sts[1]), *sts[2:])
    return replace(Site(key, _KINDS[kind], *rest), sts=policy)


def _rate(rate: Rate | None) -> Plain | None:
    return None if rate is None else (rate.count, rate.window)


def _rule(rule: Rule) -> Plain:
    return (
        rule.name,
        rule.concurrency,
        _rate(rule.connection_rate),
        tuple([_rate(rate) for rate in rule.message_rates]),
        rule.messages_per_connection,
        rule.recipients_per_message,
        rule.idle_timeout,
        rule.backoff,
        rule.longest_backoff,
        rule.adapt,
    )


def _read_rule(plain: Plain) -> Rule:
    name, concurrency, opening, rates, *rest = plain
    connection_rate = None if opening is None else Rate(*opening)
    return Rule(name, concurrency, connection_rate, tuple([Rate(*rate) for rate in rates]), *rest)

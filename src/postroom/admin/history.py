"""Explains a message: its life from history, in sentences, and what comes next and why."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postroom.admin.moments import iso, local, size, span
from postroom.admin.queue import QueueView, find_pauses, show_entry
from postroom.admin.refusal import Refused
from postroom.mail.address import Address
from postroom.mail.delivery import QueuedRecipient, RecipientState
from postroom.mail.message import QueueId, read_queue_id, show_queue_id
from postroom.queue.deadlines import must_arrive_by
from postroom.queue.model import QueueEntry, QueueFilter
from postroom.queue.pauses import Pauses, name_of
from postroom.queue.putoff import is_put_off
from postroom.queue.retry import expires_at
from postroom.queue.schedules import Schedules
from postroom.queue.store import QueueStore
from postroom.report.history import HistoryRow, HistoryStore


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. ``text`` says it in words, ``detail`` has its facts."""

    at: str
    kind: str
    recipient: str
    text: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one recipient stands now, what comes next and why."""

    recipient: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Life:
    """One message: what happened, what is still to come, and its entry in the queue if it is there."""

    queue_id: str
    moments: tuple[Moment, ...]
    standing: tuple[Standing, ...]
    queued: QueueView | None


async def find_messages(history: HistoryStore, queue: QueueStore, text: str, limit: int) -> Sequence[QueueId]:
    """The messages that ``text`` names: a queue id, Message-ID (brackets or not) or recipient; newest first.

    A recipient that waits for its first attempt is in the queue and not in the history yet: both are asked.
    """
    with contextlib.suppress(ValueError):  # then it is a Message-ID or a recipient
        return [read_queue_id(text)]
    found: set[int] = set()
    for candidate in dict.fromkeys(_spellings(text.strip())):
        found.update(await history.find(candidate, limit))
    address = _read_recipient(text)
    if address is not None:
        entries = await queue.entries(QueueFilter(recipient=str(address)), limit=limit)
        found.update(entry.message.queue_id for entry in entries)
    return [QueueId(queue_id) for queue_id in sorted(found, reverse=True)[:limit]]


async def tell_life(
    history: HistoryStore, queue: QueueStore, queue_id: QueueId, *, now: float, schedules: Schedules
) -> Life:
    """The life of one message. Refused if nothing is known of it."""
    rows = await history.of_message(queue_id)
    entries = await queue.entries(QueueFilter(queue_ids=(queue_id,)), limit=1)
    if not rows and not entries:
        raise Refused(
            f"nothing is known of {show_queue_id(queue_id)}",
            "history is kept for queue.history (30 days by default); older logs may tell",
        )
    moments = []
    for row in rows:
        detail = _read_detail(row.detail)
        moments.append(Moment(iso(row.at), row.kind, row.recipient, _say(row, detail), detail))
        checked = detail.pop("checked", None) if row.kind == "accepted" else None
        if isinstance(checked, dict):
            moments.append(Moment(iso(row.at), "checked", "", _say_checked(checked), checked))
    standing = _standing(entries[0], now, schedules, await find_pauses(queue)) if entries else ()
    queued = await show_entry(queue, queue_id) if entries else None
    return Life(show_queue_id(queue_id), tuple(moments), standing, queued)


def _spellings(text: str) -> list[str]:
    spellings = [text]
    if not text.startswith("<"):
        spellings.append(f"<{text}>")
    address = _read_recipient(text)
    return spellings if address is None else [*spellings, str(address), address.key]


def _read_recipient(text: str) -> Address | None:
    try:
        address = Address.parse(text.strip(" <>"))
    except ValueError:
        return None
    return address if address.domain else None


def _read_detail(text: str) -> dict[str, Any]:
    try:
        detail = json.loads(text)
    except ValueError:  # an older or foreign writer: shown as it is
        return {"text": text}
    return detail if isinstance(detail, dict) else {"value": detail}


def _say(row: HistoryRow, detail: Mapping[str, Any]) -> str:
    """The row as a sentence."""
    to = f" for {row.recipient}" if row.recipient else ""
    match row.kind:
        case "accepted":
            return _say_accepted(row, detail)
        case "placed":
            return _say_placed(row, detail)
        case "relayed":
            return f"relayed{to}{_say_host(detail)}{_say_reply(detail)}{_say_attempt(detail)}"
        case "deferred":
            return f"deferred{to}{_say_host(detail)}{_say_reply(detail)}{_say_attempt(detail)}{_say_next(detail)}"
        case "failed":
            return f"failed{to} for good{_say_host(detail)}{_say_reply(detail)}{_say_attempt(detail)}"
        case "expired":
            old = "" if str(detail.get("why", "")).startswith("expired by") else ": too old"
            return f"given up{to}{old}{_say_host(detail)}{_say_reply(detail)}{_say_attempt(detail)}"
        case "put_off":
            return f"put off{to}{_say_reply(detail)}{_say_next(detail)}"
        case "removed" | "held" | "released" | "retried" | "redirected":
            return _say_order(row.kind, to, detail)
        case "recovered":
            return f"taken up again{to}: the node that was attempting it stopped; that attempt may have succeeded"
        case "bounced" | "delayed" | "complained" | "reported":
            return _say_returned(row, detail)
        case "dsn":
            return _say_dsn(row, detail)
        case _:
            return f"{row.kind}{to}"


def _say_placed(row: HistoryRow, detail: Mapping[str, Any]) -> str:
    """At the intake that is a mailbox; LMTP, Maildirs and commands are attempted, and their reply tells."""
    if "attempt" in detail:
        return f"delivered for {row.recipient}{_say_host(detail)}{_say_reply(detail)}{_say_attempt(detail)}"
    asked = f" (asked for as {detail['for']})" if detail.get("for") else ""
    return f"placed in the mailbox of {row.recipient}{asked}{_say_reply(detail)}"


def _say_checked(checked: Mapping[str, Any]) -> str:
    """What was found out about the origin of the message, and what followed."""
    found = [f"{method}={result}{f' ({name})' if name else ''}" for method, result, name in checked.get("results", ())]
    why = f", because {checked['why']}" if checked.get("why") else ""
    done = {
        "accept": "taken in",
        "tag": "taken in all the same, with the results in its header",
        "quarantine": "taken in and put aside",
    }
    action = str(checked.get("action", ""))
    return f"checked: {', '.join(found) or 'nothing was found'}; {done.get(action, action)}{why}"


def _say_order(kind: str, to: str, detail: Mapping[str, Any]) -> str:
    """What an operator did, or a rule."""
    if detail.get("rule"):
        return f"{kind}{to} by the rule {detail['rule']}"
    if detail.get("quarantine"):
        return f"held{to} until an operator releases it, because {detail['quarantine']}"
    target = f" to {detail['to']}" if detail.get("to") else ""
    words = {"retried": "made due at once", "released": "released from hold"}
    return f"{words.get(kind, kind)}{to}{target} by an operator"


def _say_accepted(row: HistoryRow, detail: Mapping[str, Any]) -> str:
    sender = f"<{detail.get('from', '')}>"
    names = [str(name) for name in detail.get("to", ())]
    more = int(detail.get("recipients", len(names))) - len(names)
    to = ", ".join(names) + (f" and {more} others" if more > 0 else "")
    text = f"accepted from {sender} for {to or 'nobody'}, {size(int(detail.get('size', 0)))}"
    if detail.get("client"):
        helo = f" ({detail['helo']})" if detail.get("helo") else ""
        text += f", from client {detail['client']}{helo} by {detail.get('protocol', 'SMTP')}"
        text += f", {detail['tls']}" if detail.get("tls") else ", without TLS"
    else:
        text += ", made on this server"
    if detail.get("account"):
        text += f", logged in as {detail['account']}"
    if row.message_id:
        text += f", Message-ID {row.message_id}"
    if detail.get("signed"):
        text += f", signed by {' and '.join(str(name) for name in detail['signed'])}"
    elif detail.get("unsigned"):
        text += f", not signed: {detail['unsigned']}"
    return text + _say_options(detail)


def _say_options(detail: Mapping[str, Any]) -> str:
    """What MAIL asked for beyond the usual."""
    text = ""
    if detail.get("hold_until"):
        text += f", not to be released before {local(float(detail['hold_until']))}"
    if "deliver_by" in detail:
        otherwise = "else returned" if detail.get("mode") == "R" else "else told of the delay"
        text += f", to be delivered by {local(float(detail['deliver_by']))}, {otherwise}"
    if detail.get("priority"):
        text += f", priority {detail['priority']}"
    if detail.get("require_tls"):
        text += ", only over TLS"
    return text


def _say_dsn(row: HistoryRow, detail: Mapping[str, Any]) -> str:
    action = detail.get("action", "")
    if detail.get("queue_id"):
        return f"told the sender {row.recipient} ({action}) with message {detail['queue_id']}"
    return f"could not tell the sender {row.recipient} ({action}): {detail.get('trouble', 'no reason is known')}"


_BY = {
    "verp": "its return path",
    "envid": "its envelope id",
    "queue_id": "its queue id",
    "message_id": "its Message-ID",
}


def _say_returned(row: HistoryRow, detail: Mapping[str, Any]) -> str:
    """What came back for the message, or what it brought as a report."""
    if row.kind == "reported":
        return _say_reported(detail)
    by = _BY.get(str(detail.get("by", "")), "what it says")
    known = f"; message {detail.get('returned', '')}, known by {by}"
    if row.kind == "complained":
        return f"{row.recipient} complained ({detail.get('type', 'no reason given')}){known}"
    what = "came back" if row.kind == "bounced" else "is delayed, as was reported"
    cause = str(detail.get("cause", "")).replace("_", " ")
    host = f" by {detail['host']}" if detail.get("host") else ""
    return f"{what} for {row.recipient}{host}: {cause}{_say_reply(detail)}{known}"


def _say_reported(detail: Mapping[str, Any]) -> str:
    """What the server read in a mail to a report address."""
    if "trouble" in detail:
        return f"could not be read as a report: {detail['trouble']}"
    kind, reporter, about = (detail.get(name, "?") for name in ("kind", "reporter", "about"))
    return f"read as a {kind} report of {reporter} about {about}"


def _say_host(detail: Mapping[str, Any]) -> str:
    host, address = detail.get("host"), detail.get("address")
    if not host and not address:
        return ""
    text = f" at {host or address}"
    if host and address:
        text += f" [{address}]"
    text += f", {detail['tls']}" if detail.get("tls") else ""
    return text + (f" (policy: {detail['policy']})" if detail.get("policy") else "")


def _say_reply(detail: Mapping[str, Any]) -> str:
    text = f": {detail['reply']}" if detail.get("reply") else ""
    if detail.get("why") and str(detail["why"]) not in text:
        text += f" ({detail['why']})"
    if detail.get("ambiguous"):
        text += " - the connection was lost after the content was sent, so the peer may have the message already"
    return text


def _say_attempt(detail: Mapping[str, Any]) -> str:
    if "attempt" not in detail:
        return ""
    return f"; attempt {detail['attempt']}, {float(detail.get('seconds', 0)):.1f} s"


def _say_next(detail: Mapping[str, Any]) -> str:
    return f"; next attempt {local(float(detail['next_attempt']))}" if detail.get("next_attempt") else ""


def _standing(entry: QueueEntry, now: float, schedules: Schedules, pauses: Pauses) -> tuple[Standing, ...]:
    sender = entry.message.envelope.reverse_path
    standing = []
    for queued in entry.recipients:
        text = _say_standing(queued, entry, now, _gives_up_at(entry, queued, schedules))
        pause = pauses.of_recipient(sender, queued.recipient.address.domain)
        if pause is not None:
            until = "" if pause.until is None else f" until {local(pause.until)}"
            text += f"; but {name_of(pause)} is paused{until}" + (f" ({pause.reason})" if pause.reason else "")
        standing.append(Standing(str(queued.recipient.address), queued.state.value, text))
    return tuple(standing)


def _gives_up_at(entry: QueueEntry, queued: QueuedRecipient, schedules: Schedules) -> float:
    message = entry.message
    settings = schedules.at(queued.waits_under)
    at = expires_at(settings, message.starts_at, null_sender=message.envelope.reverse_path is None)
    deadline = must_arrive_by(message)
    return at if deadline is None else min(at, deadline)


def _say_standing(queued: QueuedRecipient, entry: QueueEntry, now: float, gives_up: float) -> str:
    """What comes next for a recipient, and why."""
    name = str(queued.recipient.address)
    match queued.state:
        case RecipientState.QUEUED if not queued.attempts and entry.message.starts_at > now < (
            queued.next_attempt or 0
        ):
            command = f"postroom queue release {show_queue_id(entry.message.queue_id)}"
            return f"{name} is held back by its sender until {local(entry.message.starts_at)}, or until {command}"
        case RecipientState.QUEUED:
            return f"{name} waits for its first attempt{_when(queued, now)}"
        case RecipientState.LEASED:
            node = f" by node {entry.lease.node}" if entry.lease is not None else ""
            return f"{name} is being attempted now{node} (attempt {queued.attempts + 1})"
        case RecipientState.HELD:
            command = f"postroom queue release {show_queue_id(entry.message.queue_id)}"
            return f"{name} is held and will not be tried until {command}"
        case RecipientState.DEFERRED:
            because = f" because of {queued.last_reply}" if queued.last_reply is not None else ""
            if is_put_off(queued.last_reply):
                because = f", {queued.last_reply}"
            return (
                f"{name} waits{_when(queued, now)} after {_attempts(queued.attempts)}{because};"
                f" it is given up at {local(gives_up)}"
            )
        case _:
            return f"{name} is {queued.state.value}: nothing more will be tried"


def _when(queued: QueuedRecipient, now: float) -> str:
    if queued.next_attempt is None:
        return ""
    if queued.next_attempt <= now:
        return ", due now"
    return f", next at {local(queued.next_attempt)} (in {span(queued.next_attempt - now)})"


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"

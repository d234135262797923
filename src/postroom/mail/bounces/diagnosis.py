"""Makes a reply of what a report says went wrong, and asks the classifier what it is about."""

import re

from postroom.mail.bounces.model import ReturnedRecipient
from postroom.mail.classify import Classifier
from postroom.mail.dsn import Action
from postroom.mail.reply import Reply
from postroom.mail.status import is_status

MAX_DIAGNOSTIC = 1000

_CODE = re.compile(r"(?<![\w.#-])([45]\d\d)(?=[ \t\-#]|$)", re.ASCII)
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![.\d])", re.ASCII)
_SPACE = re.compile(r"\s+")


def diagnose(
    classifier: Classifier,
    address: str,
    action: Action,
    *,
    final: str = "",
    status: str = "",
    diagnostic: str = "",
    host: str = "",
) -> ReturnedRecipient:
    """One recipient, with the cause. ``status`` and ``diagnostic`` as the report gives them, ``""`` if it does not."""
    reply = read_reply(action, status, diagnostic)
    rule = classifier.rule_for(reply, host)
    passes = reply.status.startswith("4") or rule.hard is False
    hard = action is Action.FAILED and (rule.hard is True or not passes)
    return ReturnedRecipient(address, final or address, action, reply, rule.cause, host, hard)


def read_reply(action: Action, status: str, diagnostic: str) -> Reply:
    """The reply that the diagnostic quotes; what it lacks comes from the status and the action.

    The status that is more exact wins: reports often have a bare 5.0.0 beside a text that knows it better.
    """
    text = _SPACE.sub(" ", diagnostic[:MAX_DIAGNOSTIC]).strip()
    code = _CODE.search(text)
    quoted = _STATUS.search(text)
    found = status if is_status(status) else ""
    if quoted is not None and (not found or found.endswith(".0.0")):
        found = quoted[1]
    if action in _DONE:
        return Reply.of(250, found, text)
    if code is not None:
        return Reply.of(int(code[1]), found, _without_code(text, code[1]))
    soft = found.startswith("4") if found else action is Action.DELAYED
    return Reply.of(450 if soft else 550, found, text)


_DONE = frozenset({Action.DELIVERED, Action.RELAYED, Action.EXPANDED})


def _without_code(text: str, code: str) -> str:
    """The text without the code, and the status after it, at the start of each line that the reply had.

    Reports run the lines together, so that a sentence is broken by ``550-5.7.1``.
    """
    return re.sub(rf"(?<![\w.]){code}(?:[- ]|$)\s*(?:[45]\.\d{{1,3}}\.\d{{1,3}}(?:\s+|$))?", "", text).strip()

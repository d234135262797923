"""What a sender is told whose message fails: codes of RFC 7372, and words that say what to mend, and where."""

import re

from postroom.mail.reply import Reply
from postroom.mail.session import Client
from postroom.mailauth.model import Authentication, Policy, Result
from postroom.policy.disposition import Action, Decision, Ground

_LONGEST = 400  # characters of a line; with code and status it stays within 512 octets (RFC 5321 §4.5.3.1.5)
_LONGEST_EXPLANATION = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._:\[\]-]")


def reply_to(decision: Decision, found: Authentication, client: Client) -> Reply:
    """The reply to a message that is refused or put off. Names from the message stand there as far as they are safe."""
    if decision.action is Action.DEFER:
        return _later(found)
    match decision.objection.ground:
        case Ground.SPF:
            return _spf_fails(found, client)
        case Ground.AUTHORS:
            # RFC 5322 §3.6: there is one From field
            what = "The message has more than one From, one that is hidden, or too many authors"
            return Reply(550, "5.6.0", (what, "It must have exactly one From field, with one author"))
        case _:
            return _dmarc_fails(found, client)


def _dmarc_fails(found: Authentication, client: Client) -> Reply:
    # RFC 7372 §3.4: neither SPF nor DKIM passes for the author; RFC 9989 §7.2: the word DMARC stands there
    dmarc, spf = found.dmarc, found.spf
    author = "" if dmarc is None else _safe(dmarc.author)
    asked = Policy.NONE if dmarc is None or dmarc.policy is None else dmarc.policy
    checked = []
    if spf is not None:
        checked.append(f"SPF {spf.result.value} for {_safe(spf.domain)} from {_safe(client.address)}")
    signers = [f"{one.result.value} for {_safe(one.domain)}" for one in found.dkim[:5] if one.domain]
    if signers:
        checked.append(f"DKIM {', '.join(signers)}")
    else:
        checked.append("a DKIM signature that cannot be read" if found.dkim else "no DKIM signature")
    return _reply(
        550,
        "5.7.26",
        f"DMARC fails for {author} in From, and its policy is p={asked.value}",
        f"Found: {'; '.join(checked)}",
        f"To mend it: sign with DKIM as {author}, or send from a host that its SPF record names",
    )


def _spf_fails(found: Authentication, client: Client) -> Reply:
    # RFC 7372 §3.2, RFC 7208 §8.4
    spf = found.spf
    domain = "" if spf is None else _safe(spf.domain)
    lines = [f"SPF fails: {domain} does not let {_safe(client.address)} send its mail"]
    explanation = "" if spf is None else _plain(spf.explanation)
    if explanation:
        lines.append(f"The domain {domain} explains: {explanation}")  # RFC 7208 §6.2: whose words they are is said
    lines.append(f"To mend it: send through the servers of {domain}, or add this one to its SPF record")
    return _reply(550, "5.7.23", *lines)


def _later(found: Authentication) -> Reply:
    spf = found.spf
    if spf is not None and spf.result is Result.TEMPERROR:
        # RFC 7372 §3.2, RFC 7208 §8.6
        return _reply(451, "4.7.24", f"SPF of {_safe(spf.domain)} cannot be evaluated now, please try again later")
    author = "" if found.dmarc is None else _safe(found.dmarc.author)
    whose = f" of {author}" if author else ""
    return _reply(451, "4.4.3", f"The DNS does not answer about the origin{whose}, please try again later")


def _reply(code: int, status: str, *lines: str) -> Reply:
    return Reply(code, status, tuple([line[:_LONGEST] for line in lines]))


def _safe(text: str) -> str:
    return _UNSAFE.sub("?", text[:255])


def _plain(text: str) -> str:
    """A stranger's words, as far as they may stand in a reply."""
    return "".join([c for c in text if c.isascii() and c.isprintable()])[:_LONGEST_EXPLANATION].strip()

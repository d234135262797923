"""What follows for a message from what was found out about its origin: a table, pure (RFC 9989 §5.3.6, §5.4).

SPF alone never decides against DMARC: a message that passes DMARC passes (RFC 9989 §7.1). What speaks for a message
that fails (a trusted sealer or forwarder, a list, its author or its recipients) bounds what is done with it.
"""

from enum import IntEnum

from postroom.config.mailauth import MailauthSettings
from postroom.mail.value import value
from postroom.mailauth.model import Authentication, Policy, Result
from postroom.mailauth.overrides import Override


class Action(IntEnum):
    """What is done with a message, from mild to strict."""

    ACCEPT = 0
    """Nothing speaks against it."""
    TAG = 1
    """Something does, and it is taken all the same: the Authentication-Results field tells."""
    QUARANTINE = 2
    """Taken and put aside, as ``mailauth.quarantine`` says."""
    DEFER = 3
    """Not now: the DNS could not be asked."""
    REFUSE = 4


class Ground(IntEnum):
    """What speaks against a message."""

    NONE = 0
    SPF = 1
    DMARC = 2
    AUTHORS = 3
    TEMPERROR = 4


@value(frozen=True, slots=True)
class Leniency:
    """Something that speaks for a message: at most ``at_most`` is done with it. ``reason`` is for the log."""

    override: Override
    reason: str
    at_most: Action = Action.TAG


@value(frozen=True, slots=True)
class Objection:
    """What speaks against a message, and what the settings want done then; ``reason`` is for the log."""

    ground: Ground = Ground.NONE
    action: Action = Action.ACCEPT
    reason: str = ""


@value(frozen=True, slots=True)
class Decision:
    """What is done, and why: the objection, and what softened it if anything did."""

    action: Action
    objection: Objection = Objection()
    leniency: Leniency | None = None

    @property
    def reason(self) -> str:
        """For the log: what speaks against the message, and what for it."""
        if self.leniency is None:
            return self.objection.reason
        return f"{self.objection.reason}; {self.leniency.reason}"


_ACTS = {"tag": Action.TAG, "quarantine": Action.QUARANTINE, "refuse": Action.REFUSE, "defer": Action.DEFER}


def action_of(word: str) -> Action:
    """The action that a word of the settings means."""
    return _ACTS[word]


def object_to(found: Authentication, settings: MailauthSettings, *, hidden_author: bool) -> Objection:
    """The strictest objection. ``hidden_author``: programs differ in who the author is. From with more authors than
    are looked at is no better: one of them may be forged (RFC 9989 §11.5).
    """
    dmarc = found.dmarc
    objections = [_authors(settings)] if hidden_author or (dmarc is not None and dmarc.incomplete) else []
    objections += [_spf(found, settings), _dmarc(found, settings)]
    return max(objections, key=lambda one: (one.action, one.ground))


def decide(objection: Objection, leniency: Leniency | None) -> Decision:
    """What is done: as the objection asks, unless something that speaks for the message bounds it."""
    if leniency is None or leniency.at_most >= objection.action:
        return Decision(objection.action, objection)
    return Decision(leniency.at_most, objection, leniency)


def _authors(settings: MailauthSettings) -> Objection:
    return Objection(
        Ground.AUTHORS,
        action_of(settings.on_several_authors),
        "there is more than one From, one that is hidden, or too many authors",
    )


def _spf(found: Authentication, settings: MailauthSettings) -> Objection:
    spf, dmarc = found.spf, found.dmarc
    if spf is None or (dmarc is not None and dmarc.result is Result.PASS):
        return Objection()  # RFC 9989 §7.1: an aligned signature says that it is the author's all the same
    if spf.result is Result.TEMPERROR and settings.on_spf_fail != "tag":
        reason = f"SPF of {spf.domain} cannot be evaluated now"
        return Objection(Ground.TEMPERROR, action_of(settings.on_temperror), reason)
    if spf.result is not Result.FAIL:
        return Objection()
    action = action_of(settings.on_spf_fail)
    if dmarc is not None and dmarc.result is Result.TEMPERROR:
        action = Action.TAG  # what DMARC would say of it is not known
    return Objection(Ground.SPF, action, f"SPF fails for {spf.domain}")


def _dmarc(found: Authentication, settings: MailauthSettings) -> Objection:
    dmarc = found.dmarc
    if dmarc is None:
        return Objection()
    if dmarc.result is Result.TEMPERROR:
        # RFC 9989 §5.3.6: it neither passes nor fails
        reason = f"DMARC of {dmarc.author} cannot be evaluated now"
        return Objection(Ground.TEMPERROR, action_of(settings.on_temperror), reason)
    if dmarc.result is not Result.FAIL:
        return Objection()
    asked = f"DMARC fails for {dmarc.author}, which asks for p={(dmarc.policy or Policy.NONE).value}"
    match dmarc.policy:
        case Policy.REJECT:
            return Objection(Ground.DMARC, action_of(settings.on_dmarc_reject), asked)
        case Policy.QUARANTINE:
            return Objection(Ground.DMARC, action_of(settings.on_dmarc_quarantine), asked)
        case _:  # RFC 9989 §5.4: p=none changes nothing
            return Objection(Ground.DMARC, Action.TAG, asked)

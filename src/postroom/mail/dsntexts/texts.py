"""The shape of a language: every sentence of a DSN that people read. A language is one file in ``spoken``."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from postroom.mail.cause import Cause
from postroom.mail.notice import Action
from postroom.mail.status import by_status
from postroom.mail.value import value

Forms = tuple[str, ...]
"""The same said of different numbers, in the order of ``Texts.form``: for one, for several."""

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


def one_or_several(number: int) -> int:
    """The forms of languages that have two, as most in the west of Europe: 0 for one, 1 for several."""
    return int(number != 1)


@value(frozen=True, slots=True, kw_only=True)
class Texts:
    """What a DSN says in one language. Explanations are half sentences, without a capital and without a full stop,
    where the language lets them; everything else is whole sentences. Names in braces are filled in.

    ``statuses`` and ``advice`` are by subject and detail of a status (``1.1``) or by subject alone (``1``), which
    stands for all details that have no text of their own; ``causes`` is an explanation and an advice for each cause
    but OTHER.
    """

    language: str
    """The tag (RFC 5646)."""
    form: Callable[[int], int] = one_or_several
    """Which of the forms belongs to a number."""

    subjects: Mapping[Action, str]
    host: str
    """Who speaks: {host}."""
    postmaster: str
    """Why the postmaster is told."""
    headings: Mapping[Action, Forms]
    """What became of the message, by the number of recipients."""
    about: str
    """Which message: {subject}."""
    forwarded: str
    """The address that the sender wrote to: {address}."""
    given_up: str
    """Tried for {age}, and not any more; the last trouble follows."""
    given_up_soon: str
    """The same for an age that is not worth a number."""
    said: str
    """{peer} said what follows."""
    other_system: str
    """The peer, where it has no name."""
    detail: str
    """What follows is for those who know more about mail."""
    to_do: str
    """What the sender can do: {advice}."""
    tried_until: str
    """When it is given up: {moment}."""
    received: str
    """The message was received at {moment} under {queue_id}."""
    held: str
    """It was to be held back until {moment}."""
    follows: str
    """The message follows."""
    header_follows: str
    """Its header follows."""
    help: str
    """Whom to ask: {address}."""

    ages: Mapping[str, Forms]
    """{number} of ``day``, ``hour`` and ``minute``."""
    months: tuple[str, ...]
    moment: str
    """How a time in UTC is written: {day}, {month}, {year}, {hour} and {minute}."""

    causes: Mapping[Cause, tuple[str, str]]
    statuses: Mapping[str, str]
    advice: Mapping[str, str]

    def explain(self, status: str) -> str:
        """What a status says; works for any, also an unknown one."""
        return by_status(self.statuses, status)

    def advise(self, status: str) -> str:
        """What a sender can do about a failure of that status."""
        return by_status(self.advice, status)

    def show_moment(self, at: float) -> str:
        """A time, given in seconds since the Unix epoch, in UTC."""
        when = datetime.fromtimestamp(int(at), UTC)
        return self.moment.format(
            day=when.day,
            month=self.months[when.month - 1],
            year=when.year,
            hour=f"{when.hour:02}",
            minute=f"{when.minute:02}",
        )

    def show_age(self, seconds: float) -> str:
        """A number of days, hours or minutes; ``""`` for less than one minute."""
        for length, unit in _UNITS:
            if seconds >= length:
                number = round(seconds / length)
                return self.choose(self.ages[unit], number).format(number=number)
        return ""

    def choose(self, forms: Forms, number: int) -> str:
        """The form that belongs to the number."""
        return forms[self.form(number)]

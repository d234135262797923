"""Reports of the keys that our mail is signed with.

As in ``events``: frozen, telling never decides. None of them carries a private key.
"""

from postroom.mail.value import value


@value(frozen=True, slots=True)
class DkimKeyChanged:
    """A key came to the next state of its life: made, published, seen, active, retired, removable, withdrawn.

    ``record`` is the name at which its record stands, ``reason`` says why where that is not plain.
    """

    domain: str
    selector: str
    algorithm: str
    state: str
    record: str
    reason: str = ""


@value(frozen=True, slots=True)
class DkimKeyWaits:
    """The operator is to do something: ``what`` is publish, mend (it signs, and its record is not there any more) or
    remove; ``detail`` what was found in the DNS.
    """

    domain: str
    selector: str
    record: str
    what: str
    detail: str = ""


@value(frozen=True, slots=True)
class DkimTrouble:
    """A zone could not be changed, or a key not be used. ``selector`` may be ``""``."""

    domain: str
    selector: str
    reason: str


KeyReport = DkimKeyChanged | DkimKeyWaits | DkimTrouble

"""Something an operator asked for and does not get: what is wrong, and what to do about it."""


class Refused(Exception):
    """The text of ``what`` and ``remedy`` is for the person who asked."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

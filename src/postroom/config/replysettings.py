"""The settings for what replies mean: rules of the operator's own, before those that come with the program."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from postroom.config.section import Section
from postroom.mail.cause import Cause
from postroom.mail.classify import Classifier, ReplyRule

Code = Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int) and not isinstance(v, bool) else v)]
"""A reply code, written as a number or as text."""


class ReplyRuleSettings(Section):
    """``[[reply]]``: what a reply of another server means; asked before the rules that come with the program."""

    hosts: tuple[str, ...] = Field(
        (), description='Mail servers whose replies are meant, with all names below: `["outlook.com"]`; empty for all.'
    )
    codes: tuple[Code, ...] = Field((), description='Reply codes, or a class: `[550, "4yz"]`; empty for all.')
    statuses: tuple[str, ...] = Field(
        (), description='Enhanced statuses: `"5.1.1"`, `"1.1"` in any class, `"7.*"` for a subject; empty for all.'
    )
    text: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)] = Field(
        (),
        description="Phrases, one of which stands in the reply, in any case; `*` stands for up to 60 characters; "
        "empty for any text.",
    )
    cause: Cause = Field(description="What such a reply is about.")
    hard: bool | None = Field(
        None,
        description="true: it is for good, also where the code says later; false: it is tried again, also where the "
        "code says never; left out: as the code says.",
    )

    @model_validator(mode="after")
    def _means_something(self) -> "ReplyRuleSettings":
        if not (self.hosts or self.codes or self.statuses or self.text):
            raise ValueError("a reply rule needs hosts, codes, statuses or text")
        Classifier([self.rule])  # ValueError for what is no code, no status, no phrase
        return self

    @property
    def rule(self) -> ReplyRule:
        """The rule itself."""
        return ReplyRule(self.cause, self.hosts, self.codes, self.statuses, self.text, self.hard)

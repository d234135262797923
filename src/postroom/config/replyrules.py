"""Reads the rules for replies that come with the program (replies.toml), and puts the operator's before them."""

import tomllib
from collections.abc import Sequence
from importlib import resources

from postroom.config.replysettings import ReplyRuleSettings
from postroom.mail.classify import Classifier, ReplyRule

_TIERS = ("provider", "text", "status", "code")
"""The tables of the file, in the order of precedence: who knows most speaks first."""


def shipped_rules() -> tuple[ReplyRule, ...]:
    """The rules of the file, in order. Reads and checks it: a mistake in it raises ValueError."""
    text = resources.files("postroom.config").joinpath("replies.toml").read_text("utf-8")
    tiers = tomllib.loads(text)
    if tuple(tiers) != _TIERS:
        raise ValueError(f"replies.toml has the tables {', '.join(tiers)}, not {', '.join(_TIERS)}")
    return tuple(ReplyRuleSettings.model_validate(entry).rule for tier in _TIERS for entry in tiers[tier])


def reply_classifier(own: Sequence[ReplyRuleSettings] = ()) -> Classifier:
    """The classifier: the operator's own rules, then those of the file."""
    return Classifier((*(entry.rule for entry in own), *shipped_rules()))

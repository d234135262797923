"""The settings for the keys that our mail is signed with."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from postroom.config.section import DomainName, Duration, Section

Rotation = Annotated[Duration, BeforeValidator(lambda v: 0 if isinstance(v, str) and v.strip() == "never" else v)]
"""A duration; ``never`` is 0."""


class DkimSettings(Section):
    """``[dkim]``: signing our mail, and the life of the keys (RFC 6376)."""

    enabled: bool = Field(True, description="Whether our mail is signed, and keys are made and looked after.")
    algorithms: tuple[Literal["rsa-sha256", "ed25519-sha256"], ...] = Field(
        ("rsa-sha256", "ed25519-sha256"),
        min_length=1,
        description="Each message is signed once by each. rsa-sha256 is read everywhere, ed25519-sha256 by some "
        "(RFC 8463 §3: sign by both).",
    )
    unsigned: tuple[DomainName, ...] = Field(
        (), description="Domains of ours that are signed elsewhere or not at all: no keys are made for them."
    )
    key_file: Path | None = Field(
        None,
        description="File with the secret that private keys are encrypted with in the store; postroom dkim encrypt "
        "makes it. None: they stand there in the clear.",
    )
    wait: Duration = Field(
        3600,
        description="How long a new key must have been seen in the DNS before it signs. Longer than the slowest "
        "secondary takes, where not all of them can be asked from here.",
    )
    keep: Duration = Field(
        7 * 86400,
        description="How long the record of a key that signs no more stays, for mail that is still under way. Longer "
        "than queue.lifetime.",
    )
    rotate: Rotation = Field(
        180 * 86400, description='How long a key signs before the next takes its place; "never" for always.'
    )

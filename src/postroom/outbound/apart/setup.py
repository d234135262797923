"""What the child must know, as the node tells it first."""

import pickle
from pathlib import Path

from postroom.config.model import DnsSettings
from postroom.config.replysettings import ReplyRuleSettings
from postroom.config.road import OutboundSettings, SmarthostSettings
from postroom.config.sending import PoolSettings, ShapingSettings, SourceSettings
from postroom.mail.value import value


@value(frozen=True, slots=True)
class Setup:
    """What a process that carries mail must know, and no more. ``store`` is the database file."""

    hostname: str
    loop: str
    outbound: OutboundSettings
    smarthosts: tuple[SmarthostSettings, ...]
    shaping: tuple[ShapingSettings, ...]
    sources: tuple[SourceSettings, ...]
    pools: tuple[PoolSettings, ...]
    replies: tuple[ReplyRuleSettings, ...]
    dns: DnsSettings
    store: Path

    def to_bytes(self) -> bytes:
        """For the wire. Secrets are in it."""
        return pickle.dumps(self, protocol=5)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "Setup":
        """What the node wrote; nobody else may be believed."""
        setup = pickle.loads(data)  # noqa: S301 - the node that started us wrote it
        if not isinstance(setup, cls):
            raise TypeError("that is no setup")
        return setup

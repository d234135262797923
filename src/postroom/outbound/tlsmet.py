"""What came of TLS with one host, as those who count and remember it are told."""

import json
from collections.abc import Callable
from functools import cached_property

from postroom.mail.delivery import Peer, StsPolicy
from postroom.mail.value import value
from postroom.outbound.dane import Tlsa
from postroom.outbound.tlsstore import TlsLevel


@value(frozen=True, slots=False)
class AppliedPolicy:
    """The policy that was applied, as TLSRPT shows it (RFC 8460 §4.4): ``kind`` is tlsa, sts or no-policy-found."""

    kind: str
    lines: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """As JSON: the ``policy`` object of a report, without its domain."""
        shown: dict[str, object] = {"policy-type": self.kind}
        if self.lines:
            shown["policy-string"] = self.lines
        if self.mx:
            shown["mx-host"] = self.mx
        return json.dumps(shown, sort_keys=True)


NO_POLICY = AppliedPolicy("no-policy-found")


def applied_tlsa(tlsa: Tlsa) -> AppliedPolicy:
    """RFC 8460 §4.5: each record in presentation format."""
    return AppliedPolicy("tlsa", tuple(sorted(str(record) for record in tlsa.records)))


def applied_sts(policy: StsPolicy | None) -> AppliedPolicy:
    """RFC 8460 §4.5: the lines of the policy; none where it could not be had."""
    return AppliedPolicy("sts") if policy is None else AppliedPolicy("sts", policy.text, policy.mx)


@value(frozen=True, slots=True)
class TlsMet:
    """One opening, or the reason why there was none.

    ``domains`` are the recipient domains on whose behalf it was; ``failure`` is a result type of RFC 8460 §4.3 or
    ``""``, ``reason`` says more. ``level`` is what the session has, None where there is none. ``checked``: certificates
    were examined, whatever came of it.
    """

    site: str
    domains: tuple[str, ...]
    applied: AppliedPolicy
    peer: Peer
    level: TlsLevel | None = None
    failure: str = ""
    reason: str = ""
    checked: bool = False


NoteTls = Callable[[TlsMet], None]
"""Hears of each opening; must not block."""


def note_nothing(_met: TlsMet) -> None:
    """Where nobody counts."""

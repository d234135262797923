"""What MTA-STS says: the TXT record, the policy and its patterns, by the grammar of RFC 8461 §3. Pure."""

import re
from collections.abc import Sequence

from postroom.mail.delivery import StsMode, StsPolicy
from postroom.net.peercerts import matches

MAX_AGE = 31_557_600
"""Seconds: the longest life of a policy (RFC 8461 §3.2)."""

MAX_POLICY = 64 * 1024
"""Octets of a policy (RFC 8461 §3.3)."""

MAX_MX = 200
"""Patterns of one policy that count; no host list is as long."""

_VERSION = b"v=STSv1"
_TXT_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)")
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_TXT_DELIMITER = re.compile(r"[ \t]*;[ \t]*")
# RFC 8461 §3.2: sts-policy-field. The value of an extension may hold UTF-8 and blanks, but not begin or end with one.
_FIELD = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*([^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*"
)
_AGE = re.compile(r"[0-9]{1,10}")
_PATTERN = re.compile(
    r"(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


def read_record(records: Sequence[bytes]) -> str:
    """The id of a domain's policy, from the TXT records at ``_mta-sts``; ``""``: it has none (RFC 8461 §3.1)."""
    candidates = [record for record in records if _is_candidate(record)]
    if len(candidates) != 1:
        return ""
    try:
        text = candidates[0].decode("ascii")
    except UnicodeDecodeError:
        return ""
    _, *fields = _TXT_DELIMITER.split(text)
    if fields and not fields[-1]:
        fields.pop()  # the delimiter at the end is optional
    found = ""
    for field in fields:
        parsed = _TXT_FIELD.fullmatch(field)
        if parsed is None:
            return ""
        if parsed[1] == "id":
            if not _ID.fullmatch(parsed[2]):
                return ""
            found = found or parsed[2]
    return found


def read_policy(domain: str, policy_id: str, text: bytes, now: float) -> StsPolicy:
    """The policy in a file fetched at ``now``. ValueError if it breaks RFC 8461 §3.2 or lacks a field."""
    if len(text) > MAX_POLICY:
        raise ValueError(f"it has more than {MAX_POLICY} octets")
    lines = [line.removesuffix("\r") for line in text.decode("utf-8").split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    first: dict[str, str] = {}
    mx: list[str] = []
    for number, line in enumerate(lines, 1):
        field = _FIELD.fullmatch(line)
        if field is None:
            raise ValueError(f"line {number} is not a key and a value")
        if field[1] == "mx":
            mx.append(field[2])
        else:
            first.setdefault(field[1], field[2])  # all but the first are ignored
    if first.get("version") != "STSv1":
        raise ValueError("its version is not STSv1")
    mode, age = first.get("mode", ""), first.get("max_age", "")
    if mode not in {each.value for each in StsMode}:
        raise ValueError("its mode is not enforce, testing or none")
    if not _AGE.fullmatch(age):
        raise ValueError("its max_age is not a number of seconds")
    if not all(len(pattern) <= 255 and _PATTERN.fullmatch(pattern) for pattern in mx):
        raise ValueError("an mx of it is not a name or *. and a name")
    if not mx and mode != StsMode.NONE.value:
        raise ValueError("it names no mx")
    expires_at = now + min(int(age), MAX_AGE)
    patterns = tuple([pattern.lower() for pattern in mx[:MAX_MX]])
    shown = tuple([line for line in lines if line.partition(":")[0] in {"version", "mode", "mx", "max_age"}])
    return StsPolicy(domain, StsMode(mode), patterns, policy_id, expires_at, shown[: MAX_MX + 3])


def allows(policy: StsPolicy, host: str) -> bool:
    """Whether an MX host is one of the policy's (RFC 8461 §4.1)."""
    return any(matches(pattern, host) for pattern in policy.mx)


def _is_candidate(record: bytes) -> bool:
    """RFC 8461 §3.1: what does not begin with ``v=STSv1;`` is discarded; the grammar allows blanks before the ``;``."""
    return record.startswith(_VERSION) and record[len(_VERSION) :].lstrip(b" \t").startswith(b";")

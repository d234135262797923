"""All kinds of writes by their names: what crosses a wire names its kind (``storage/apart``)."""

from collections.abc import Mapping
from typing import Any

import apsw

from postroom.storage.batch import Kind
from postroom.storage.sqlite import (
    acting,
    changing,
    credentials,
    dkim,
    dmarctally,
    dnswatch,
    guard,
    history,
    intake,
    leasing,
    mailbox,
    orders,
    reported,
    reports,
    returned,
    settling,
    sites,
    suppression,
    tls,
)

_ROOMS = (
    acting, changing, credentials, dkim, dmarctally, dnswatch, guard, history, intake, leasing, mailbox, orders,
    reported, reports, returned, settling, sites, suppression, tls,
)  # fmt: skip

KINDS: Mapping[str, Kind[apsw.Connection, Any, Any]] = {
    kind.name: kind for room in _ROOMS for kind in vars(room).values() if isinstance(kind, Kind)
}
"""Each with the name that it alone has (a test sees to it)."""

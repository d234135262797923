"""Words of mail as plain values and back: tuples of texts, numbers and octets, which cross a wire fast.

Each wire makes octets of them itself. Members of enumerations go by their values: a look-up takes a tenth of a call.
"""

from typing import Any

from postroom.mail.address import Address
from postroom.mail.envelope import Body, ByMode, DeliverBy, Envelope, Notify, Recipient, Ret

Plain = tuple[Any, ...]

BODIES = {body.value: body for body in Body}
RETS = {ret.value: ret for ret in Ret}
NOTIFIES = {bits: Notify(bits) for bits in range(8)}
_BY_MODES = {mode.value: mode for mode in ByMode}


def write_address(address: Address | None) -> Plain | None:
    """Local part and domain; None stays None."""
    return None if address is None else (address.local, address.domain)


def read_address(plain: Plain | None) -> Address | None:
    """The address again."""
    return None if plain is None else Address(plain[0], plain[1])


def write_recipient(recipient: Recipient) -> Plain:
    """A recipient with its parameters."""
    address, notify = recipient.address, recipient.notify
    return address.local, address.domain, None if notify is None else notify._value_, recipient.orcpt


def read_recipient(plain: Plain) -> Recipient:
    """The recipient again."""
    local, domain, notify, orcpt = plain
    return Recipient(Address(local, domain), None if notify is None else NOTIFIES[notify], orcpt)


def write_envelope(envelope: Envelope) -> Plain:
    """The envelope without its recipients; what few messages ask for stands in one place, None where none of it is."""
    path, ret = envelope.reverse_path, envelope.ret
    options = envelope.hold_request or envelope.has_options
    return (
        None if path is None else (path.local, path.domain),
        envelope.body._value_,
        envelope.smtputf8,
        None if ret is None else ret._value_,
        envelope.envid,
        _write_options(envelope) if options else None,
    )


def read_envelope(plain: Plain, recipients: tuple[Recipient, ...] = ()) -> Envelope:
    """The envelope again, with these recipients."""
    path, body, smtputf8, ret, envid, options = plain
    sender = None if path is None else Address(path[0], path[1])
    kept = None if ret is None else RETS[ret]
    if options is None:
        return Envelope(sender, recipients, BODIES[body], smtputf8, kept, envid)
    by, *rest = options
    deliver_by = None if by is None else DeliverBy(by[0], _BY_MODES[by[1]], by[2])
    return Envelope(sender, recipients, BODIES[body], smtputf8, kept, envid, deliver_by, *rest)


def _write_options(envelope: Envelope) -> Plain:
    by = envelope.deliver_by
    return (
        None if by is None else (by.seconds, by.mode.value, by.trace),
        envelope.hold_until,
        envelope.priority,
        envelope.require_tls,
        envelope.hold_request,
    )

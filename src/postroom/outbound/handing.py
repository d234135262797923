"""What a message looks like where it leaves for a file or a program of this machine: LF, with its envelope in front."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace

from postroom.mail.address import Address
from postroom.mail.delivery import DeliveryRequest, QueuedRecipient
from postroom.mail.envelope import Body
from postroom.mail.message import Message, show_queue_id
from postroom.mailbox.carrier import entry_prefix
from postroom.outbound.job import ONE_WRITE, check_size, in_pieces
from postroom.queue.carrier import ContentSource


async def at_hand(request: DeliveryRequest, source: ContentSource) -> DeliveryRequest:
    """The request with its content, where that is small: several recipients read it once. Raises StoreUnavailable."""
    message = request.message
    if request.content is not None or message.content_size > ONE_WRITE:
        return request
    content = b"".join([piece async for piece in source.read_content(message.queue_id)])
    check_size(len(content), message)
    return replace(request, content=content)


async def pieces(
    request: DeliveryRequest, queued: QueuedRecipient, source: ContentSource
) -> AsyncGenerator[bytes, None]:
    """The message in pieces of bounded size: Return-Path and Delivered-To, what we added, and the content.

    Lines end with LF, as the programs of this system have them; binary content stays as it is. Raises StoreUnavailable,
    also where the store gives less than all of it.
    """
    message = request.message

    def read() -> AsyncIterator[bytes]:
        return source.read_content(message.queue_id)

    header = entry_prefix(message.envelope.reverse_path, queued.recipient.address) + message.prefix
    yield header.replace(b"\r\n", b"\n")
    size, held = 0, b""
    is_binary = message.envelope.body is Body.BINARY
    async with aclosing(in_pieces(request.content, read)) as parts:
        async for piece in parts:
            size += len(piece)
            if is_binary:
                yield piece
                continue
            text = held + piece
            held = b"\r" if text.endswith(b"\r") else b""  # its LF may be in the next piece
            yield (text[:-1] if held else text).replace(b"\r\n", b"\n")
    check_size(size, message)
    if held:
        yield held


def words_for(message: Message, address: Address, separator: str) -> Mapping[str, str]:
    """What the placeholders of paths and commands stand for. ``separator`` divides a local part from its tag."""
    local, _, tag = address.local.partition(separator) if separator else (address.local, "", "")
    if not local:  # a local part that begins with the separator has no tag
        local, tag = address.local, ""
    sender = message.envelope.reverse_path
    return {
        "local": local,
        "tag": tag,
        "domain": address.domain,
        "address": str(Address(local, address.domain)),
        "recipient": str(address),
        "sender": "" if sender is None else str(sender),
        "queue_id": show_queue_id(message.queue_id),
    }

"""The promises of MailboxStore."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.contract.implementations import OpenStore, Store
from tests.fakes.letters import NOON, a_local_intake, a_message, an_intake, queue_id, relayed, settled

from postroom.directory.model import Account, RemoveAccount, Usage
from postroom.mailbox.model import NewEntry
from postroom.queue.model import CHUNK_SIZE, ContentChunk, Intake, Lease, QueueAction, QueueFilter

LEASE = Lease("node-1", NOON + 900)
CONTENT = b"Subject: hi\r\n\r\nhello\r\n"


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def has_content(store: Store, number: int) -> bool:
    try:
        await joined(store.queue.read_content(queue_id(number)))
    except KeyError:
        return False
    return True


async def test_an_entry_is_the_entry_prefix_the_message_prefix_and_the_content(
    store: Store, accounts: list[Account]
) -> None:
    ann = accounts[0].account_id
    await store.queue.take_in([a_local_intake(1, [ann], CONTENT)])
    (entry,) = await store.mailbox.entries(ann)
    whole = await joined(store.mailbox.read(ann, entry.entry_id))
    assert whole == b"Delivered-To: box\r\nReceived: from there\r\n" + CONTENT
    assert (entry.queue_id, entry.size, entry.received_at) == (queue_id(1), len(whole), NOON)


async def test_one_content_in_many_mailboxes_lives_as_long_as_the_last(store: Store, accounts: list[Account]) -> None:
    ann, bob, cid = [account.account_id for account in accounts]
    await store.queue.take_in([a_local_intake(1, [ann, bob, cid])])
    for account_id in (ann, bob):
        (entry,) = await store.mailbox.entries(account_id)
        await store.mailbox.remove(account_id, [entry.entry_id])
        assert await store.mailbox.entries(account_id) == []
        assert await has_content(store, 1)
    (entry,) = await store.mailbox.entries(cid)
    await store.mailbox.remove(cid, [entry.entry_id])
    assert not await has_content(store, 1)


async def test_the_same_account_may_get_a_message_twice(store: Store, accounts: list[Account]) -> None:
    ann = accounts[0].account_id
    await store.queue.take_in([a_local_intake(1, [ann, ann])])
    first, second = await store.mailbox.entries(ann)
    await store.mailbox.remove(ann, [first.entry_id])
    assert await joined(store.mailbox.read(ann, second.entry_id))


async def test_content_outlives_the_queue_while_a_mailbox_has_it(store: Store, accounts: list[Account]) -> None:
    ann = accounts[0].account_id
    intake = an_intake(1, boxes=[ann], lease=LEASE)
    await store.queue.take_in([intake])
    await store.queue.settle([settled(1, "node-1", relayed(intake.queued[0]))])
    assert (await store.queue.counts()).messages == 0
    (entry,) = await store.mailbox.entries(ann)
    assert (await joined(store.mailbox.read(ann, entry.entry_id))).endswith(CONTENT)
    await store.mailbox.remove(ann, [entry.entry_id])
    assert not await has_content(store, 1)


async def test_content_outlives_the_mailbox_while_the_queue_has_it(store: Store, accounts: list[Account]) -> None:
    ann = accounts[0].account_id
    await store.queue.take_in([an_intake(1, boxes=[ann], lease=LEASE)])
    (entry,) = await store.mailbox.entries(ann)
    await store.mailbox.remove(ann, [entry.entry_id])
    assert await has_content(store, 1)
    await store.queue.act(QueueAction.REMOVE, QueueFilter(), NOON)
    assert not await has_content(store, 1)


async def test_usage_follows_the_mailbox(store: Store, accounts: list[Account]) -> None:
    ann, bob, _ = [account.account_id for account in accounts]
    await asyncio.gather(*[store.queue.take_in([a_local_intake(n, [ann, bob])]) for n in range(50)])
    entries = await store.mailbox.entries(ann)
    size = entries[0].size
    assert list(await store.directory.usage([bob, ann, 4711])) == [
        Usage(50 * size, 50),
        Usage(50 * size, 50),
        Usage(0, 0),
    ]
    gone = [entry.entry_id for entry in entries[:20]]
    await asyncio.gather(*[store.mailbox.remove(ann, gone[n : n + 5]) for n in range(0, 20, 5)])
    assert list(await store.directory.usage([ann, bob])) == [Usage(30 * size, 30), Usage(50 * size, 50)]


async def test_removing_is_harmless_for_what_is_not_there(store: Store, accounts: list[Account]) -> None:
    ann, bob, _ = [account.account_id for account in accounts]
    await store.queue.take_in([a_local_intake(1, [ann, bob])])
    (entry,) = await store.mailbox.entries(ann)
    await store.mailbox.remove(bob, [entry.entry_id, 4711])  # another's entry is as good as unknown
    await store.mailbox.remove(bob, [])
    assert len(await store.mailbox.entries(ann)) == 1
    await store.mailbox.remove(ann, [entry.entry_id, entry.entry_id])
    assert list(await store.directory.usage([ann])) == [Usage(0, 0)]


async def test_an_entry_id_is_never_used_again(store: Store, accounts: list[Account], open_store: OpenStore) -> None:
    ann = accounts[0].account_id
    seen: set[int] = set()
    for number in range(3):
        await store.queue.take_in([a_local_intake(number, [ann])])
        (entry,) = await store.mailbox.entries(ann)
        assert entry.entry_id not in seen
        seen.add(entry.entry_id)
        await store.mailbox.remove(ann, [entry.entry_id])
    later = await open_store()
    await later.queue.take_in([a_local_intake(9, [ann])])
    (entry,) = await later.mailbox.entries(ann)
    assert entry.entry_id > max(seen)


async def test_entries_come_oldest_first(store: Store, accounts: list[Account]) -> None:
    ann = accounts[0].account_id
    for number in (3, 1, 2):
        await store.queue.take_in([a_local_intake(number, [ann])])
    entries = await store.mailbox.entries(ann)
    assert [entry.queue_id for entry in entries] == [queue_id(3), queue_id(1), queue_id(2)]
    assert sorted(entry.entry_id for entry in entries) == [entry.entry_id for entry in entries]


async def test_only_the_owner_reads(store: Store, accounts: list[Account]) -> None:
    ann, bob, _ = [account.account_id for account in accounts]
    await store.queue.take_in([a_local_intake(1, [ann])])
    (entry,) = await store.mailbox.entries(ann)
    with pytest.raises(KeyError):
        await joined(store.mailbox.read(bob, entry.entry_id))
    with pytest.raises(KeyError):
        await joined(store.mailbox.read(ann, entry.entry_id + 1))


async def test_large_content_is_read_in_bounded_pieces(store: Store, accounts: list[Account]) -> None:
    ann = accounts[0].account_id
    data = bytes(range(256)) * (CHUNK_SIZE // 256)
    await store.queue.write_chunks([ContentChunk(queue_id(1), sequence, data) for sequence in range(4)])
    entries = (NewEntry(ann, "ann@ours.example", b""),)
    await store.queue.take_in([Intake(a_message(1, size=4 * len(data), prefix=b""), None, entries=entries)])
    (entry,) = await store.mailbox.entries(ann)
    pieces = [piece async for piece in store.mailbox.read(ann, entry.entry_id)]
    assert b"".join(pieces) == data * 4
    assert max(map(len, pieces)) <= CHUNK_SIZE
    await store.mailbox.remove(ann, [entry.entry_id])
    assert not await has_content(store, 1)


async def test_placing_a_stored_message(store: Store, accounts: list[Account]) -> None:
    ann = accounts[0].account_id
    await store.queue.take_in([an_intake(1)])
    entry = NewEntry(ann, "ann@ours.example", b"Delivered-To: ann\r\n")
    await store.mailbox.place(queue_id(1), [entry], NOON + 60)
    (found,) = await store.mailbox.entries(ann)
    whole = await joined(store.mailbox.read(ann, found.entry_id))
    assert whole.startswith(b"Delivered-To: ann\r\nReceived")
    assert (found.size, found.received_at) == (len(whole), NOON + 60)
    assert list(await store.directory.usage([ann])) == [Usage(found.size, 1)]
    await store.queue.act(QueueAction.REMOVE, QueueFilter(), NOON)
    assert await joined(store.mailbox.read(ann, found.entry_id)) == whole


async def test_placing_again_after_a_crash_places_nothing_twice(store: Store, accounts: list[Account]) -> None:
    ann, bob, _ = [account.account_id for account in accounts]
    await store.queue.take_in([an_intake(1)])
    first = NewEntry(ann, "ann@ours.example", b"Delivered-To: ann\r\n")
    await store.mailbox.place(queue_id(1), [first], NOON + 60)
    await store.mailbox.place(queue_id(1), [first, replace(first, account_id=bob)], NOON + 90)
    assert len(await store.mailbox.entries(ann)) == 1
    assert len(await store.mailbox.entries(bob)) == 1
    assert (await store.directory.usage([ann]))[0].messages == 1


async def test_a_message_that_is_not_stored_is_not_placed(store: Store, accounts: list[Account]) -> None:
    with pytest.raises(KeyError):
        await store.mailbox.place(queue_id(1), [NewEntry(accounts[0].account_id, "ann@ours.example", b"")], NOON)


async def test_an_account_goes_with_its_mailbox(store: Store, accounts: list[Account]) -> None:
    ann, bob, _ = [account.account_id for account in accounts]
    await store.queue.take_in([a_local_intake(1, [ann]), a_local_intake(2, [ann, bob])])
    await store.directory.change([RemoveAccount(accounts[0].address)])
    assert not await has_content(store, 1)
    assert await has_content(store, 2)
    assert await store.mailbox.entries(ann) == []


async def test_one_session_at_a_time(store: Store, accounts: list[Account]) -> None:
    ann, bob, _ = [account.account_id for account in accounts]
    assert await store.mailbox.claim(ann, "one")
    assert not await store.mailbox.claim(ann, "two")
    assert await store.mailbox.claim(bob, "two")
    await store.mailbox.release(ann, "two")
    assert not await store.mailbox.claim(ann, "two")
    await store.mailbox.release(ann, "one")
    await store.mailbox.release(ann, "one")
    assert await store.mailbox.claim(ann, "two")

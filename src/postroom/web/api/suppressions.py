"""``/api/v1/suppressions``: the suppression list for programs: list, find, add, remove."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from postroom.admin import suppression
from postroom.admin.suppression import MOST_LISTED, SuppressionPage, SuppressionView
from postroom.clock import Clock
from postroom.reputation.model import LONGEST_REASON
from postroom.reputation.store import Key, SuppressionStore

_LONGEST_NAME = 1100
"""Characters of an address or a domain in a request: more than any has."""


class NewSuppression(BaseModel):
    """An address that is not to be written to again."""

    model_config = ConfigDict(extra="forbid")

    sender_domain: str = Field(max_length=_LONGEST_NAME, description="A domain of this server.")
    recipient: str = Field(max_length=_LONGEST_NAME, description="The address.")
    reason: str = Field("", max_length=LONGEST_REASON, description="Why; for the list.")
    seconds: float | None = Field(None, gt=0, le=1e12, description="How long; without it for good.")


@dataclass(frozen=True, slots=True)
class SuppressionDesk:
    """What the routes ask. ``store`` gives None while the server is starting; ``bounces`` is that of the settings."""

    store: Callable[[], SuppressionStore | None]
    is_local: Callable[[str], Awaitable[bool]]
    bounces: int
    clock: Clock

    @property
    def open_store(self) -> SuppressionStore:
        """The store. 503 while there is none."""
        store = self.store()
        if store is None:
            raise HTTPException(503, "the server is starting")
        return store


Name = Annotated[str, Query(max_length=_LONGEST_NAME)]


def suppression_routes(desk: SuppressionDesk) -> APIRouter:
    """The routes. Refused, StoreUnavailable and HTTPException are the application's to answer."""
    router = APIRouter(prefix="/suppressions", tags=["suppressions"])

    @router.get("", summary="List the entries, in order of sending domain and address")
    async def list_entries(
        *,
        sender_domain: Name = "",
        recipient: Name = "",
        recipient_domain: Name = "",
        cause: Name = "",
        origin: Name = "",
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
        after: Annotated[str, Query(max_length=2 * _LONGEST_NAME, description="next of the page before")] = "",
    ) -> SuppressionPage:
        which = suppression.read_filter(
            sender_domain=sender_domain,
            recipient=recipient,
            recipient_domain=recipient_domain,
            cause=cause,
            origin=origin,
        )
        now = desk.clock.now()
        return await suppression.list_entries(
            desk.open_store, which, limit=limit, after=after, bounces=desk.bounces, now=now
        )

    @router.post("", status_code=201, summary="Add an entry, in place of what is there")
    async def add(new: NewSuppression) -> SuppressionView:
        now = desk.clock.now()
        entry = suppression.new_entry(new.recipient, new.sender_domain, reason=new.reason, seconds=new.seconds, now=now)
        if not await desk.is_local(entry.sender_domain):
            raise HTTPException(400, f"{entry.sender_domain} is not a domain of this server")
        await desk.open_store.put([entry])
        return suppression.show(entry, bounces=desk.bounces, now=now)

    @router.get("/{sender_domain}/{recipient:path}", summary="One entry")
    async def find(sender_domain: str, recipient: str) -> SuppressionView:
        (found,) = await desk.open_store.find([_key(sender_domain, recipient)])
        if found is None:
            raise HTTPException(404, "there is no such entry")
        return suppression.show(found, bounces=desk.bounces, now=desk.clock.now())

    @router.delete("/{sender_domain}/{recipient:path}", status_code=204, summary="Remove one entry")
    async def remove(sender_domain: str, recipient: str) -> Response:
        (found,) = await desk.open_store.remove([_key(sender_domain, recipient)])
        if not found:
            raise HTTPException(404, "there is no such entry")
        return Response(status_code=204)

    return router


def _key(sender_domain: str, recipient: str) -> Key:
    return suppression.read_domain(sender_domain), suppression.read_recipient(recipient).key

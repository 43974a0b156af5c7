"""The route of messages that people sent to the gateway: SMS replies and the like, whole and decoded."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import Row

from gateway.api.context import ApiContext
from gateway.api.documentation import documented
from gateway.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, id_at, page_of
from gateway.api.parameters import KNOWN, Within
from gateway.api.reading import inbound_page
from gateway.api.roles import Caller, Permission
from gateway.api.views import Time, View
from gateway.clock import from_micros, rfc3339


class InboundView(View):
    """A message that somebody sent to the gateway."""

    id: str = Field(description="the message", examples=["inb_06h2qfjfto8r9bh8fqhltqm7hk"])
    provider: str = Field(description="over which provider it came", examples=["carrier-a"])
    channel: str = Field(description="over which channel", examples=["sms"])
    source: str = Field(description="who sent it, as the provider says", examples=["+33612345678"])
    destination: str = Field(description="the number of ours that it was sent to", examples=["38080"])
    text: str = Field(description="what it says", examples=["OK, on my way"])
    at: Time = Field(description="when it was complete")


def inbound_view(row: Row[Any]) -> InboundView:
    """From a row of inbound_messages."""
    return InboundView(**{**row._mapping, "at": rfc3339(from_micros(row.at))})


def router(api: ApiContext) -> APIRouter:
    """GET /v1/inbound."""
    routes = APIRouter(tags=["inbound"], dependencies=[KNOWN])
    may_read_inbound = Depends(api.requires(Permission.READ_INBOUND))

    @routes.get("/v1/inbound", responses=documented())
    async def list_inbound(
        *,
        _caller: Caller = may_read_inbound,
        span: Within,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[InboundView]:
        """Messages that came in over any provider, the latest first."""
        before = id_at(cursor)
        return await page_of(
            api.store,
            lambda c, most: inbound_page(c, span=span, before=before, limit=most),
            limit,
            lambda row: [row.id],
            inbound_view,
        )

    return routes

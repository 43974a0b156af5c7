"""The route of messages that people sent to the gateway: SMS replies and the like, whole and decoded."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway.api.context import ApiContext
from gateway.api.documentation import documented
from gateway.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, id_at, page_of
from gateway.api.parameters import KNOWN, Within
from gateway.api.reading import inbound_page
from gateway.api.roles import Caller, Permission
from gateway.api.views import InboundView, inbound_view


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

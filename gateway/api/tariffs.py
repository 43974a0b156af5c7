"""Routes of tariffs: what is in force, and a new price."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from billing.money import format_amount, parse_amount
from billing.tariff import PREFIX_CHARS_MAX, ChargedOn, Tariff, UnknownEnd
from gateway import administration as admin
from gateway.administration import PAGE_MAX, InvalidFieldError
from gateway.api.accounts import AmountIn
from gateway.api.alerts import LINE_PATTERN
from gateway.api.context import ApiContext
from gateway.api.documentation import documented
from gateway.api.json_bodies import JsonRoute
from gateway.api.paging import Cursor, Limit, Page, page_of, place_at
from gateway.api.parameters import KNOWN
from gateway.api.roles import Caller, Permission
from gateway.api.views import Amount, View
from gateway.prefixes import tariff_refusal

ChannelOf = Annotated[str, Query(max_length=64, description="the channel of the price", examples=["sms"])]
PrefixOf = Annotated[
    str, Query(max_length=PREFIX_CHARS_MAX, description="its prefix; empty: that of all others", examples=["+33"])
]


class TariffIn(BaseModel):
    """The price of one unit of a channel (an SMS part) for the addresses that begin with `prefix`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="the channel", examples=["sms"])
    prefix: str = Field(
        default="",
        max_length=PREFIX_CHARS_MAX,
        pattern=LINE_PATTERN,
        description="the beginning of the addresses; empty: all that no longer prefix names",
        examples=["+33"],
    )
    price: AmountIn = Field(description="of one unit: a part of a text, a mail, a started minute", examples=["0.045"])
    charged_on: ChargedOn = Field(default="accepted", description="what a unit must be to be charged")
    unknown_end: UnknownEnd | None = Field(
        default=None,
        description="what a unit costs whose end is never known; left out or null: capture, for voice release",
    )


class TariffView(View):
    """A tariff in force; a changed price is a new version."""

    channel: str = Field(description="the channel", examples=["sms"])
    prefix: str = Field(description="the beginning of the addresses; empty: all others", examples=["+33"])
    version: int = Field(description="how often this price has been set", examples=[1])
    price: Amount = Field(description="of one unit")
    charged_on: ChargedOn = Field(description="what a unit must be to be charged")
    unknown_end: UnknownEnd = Field(description="what a unit costs whose end is never known")


def tariff_view(tariff: Tariff) -> TariffView:
    """The tariff as shown."""
    return TariffView(
        channel=tariff.channel,
        prefix=tariff.prefix,
        version=tariff.version,
        price=format_amount(tariff.price_micros),
        charged_on=tariff.charged_on,
        unknown_end=tariff.unknown_end,
    )


def router(api: ApiContext) -> APIRouter:
    """The routes under /v1/tariffs."""
    routes = APIRouter(tags=["tariffs"], route_class=JsonRoute, dependencies=[KNOWN])
    may_set_tariffs = Depends(api.requires(Permission.SET_TARIFFS))
    may_read_tariffs = Depends(api.requires(Permission.READ_TARIFFS))

    @routes.get("/v1/tariffs", responses=documented())
    async def list_tariffs(
        *, _caller: Caller = may_read_tariffs, cursor: Cursor = None, limit: Limit = PAGE_MAX
    ) -> Page[TariffView]:
        """The tariffs in force, by channel and prefix."""
        place = place_at(cursor, str, str)
        after = None if place is None else (place[0], place[1])
        return await page_of(
            api.store,
            lambda c, most: admin.list_tariffs(c, cursor=after, limit=most),
            limit,
            lambda tariff: [tariff.channel, tariff.prefix],
            tariff_view,
        )

    @routes.put("/v1/tariffs", responses=documented("conflict", body=True))
    async def set_tariff(*, _caller: Caller = may_set_tariffs, body: TariffIn) -> TariffView:
        """Sets a price. What is held already keeps the version it was held under."""
        _require_reachable(api, body.channel, body.prefix)
        tariff = await api.store.write(
            lambda connection: admin.set_tariff(
                connection,
                api.clock.now(),
                channel=body.channel,
                prefix=body.prefix,
                price_micros=parse_amount(body.price),
                charged_on=body.charged_on,
                unknown_end=body.unknown_end,
            )
        )
        await api.broker.reload_tariffs()
        return tariff_view(tariff)

    @routes.delete("/v1/tariffs", responses=documented("not-found"))
    async def remove_tariff(
        *, _caller: Caller = may_set_tariffs, channel: ChannelOf, prefix: PrefixOf = ""
    ) -> TariffView:
        """Removes a price, which is answered: a shorter prefix counts from now on, or what begins so is free."""
        tariff = await api.store.write(
            lambda connection: admin.remove_tariff(connection, api.clock.now(), channel=channel, prefix=prefix)
        )
        await api.broker.reload_tariffs()
        return tariff_view(tariff)

    return routes


def _require_reachable(api: ApiContext, channel: str, prefix: str) -> None:
    """Raises InvalidFieldError for a price that would never count."""
    wrong = tariff_refusal(channel, prefix, api.broker.settings.destinations.allowed)
    if wrong is not None:
        raise InvalidFieldError(*wrong)

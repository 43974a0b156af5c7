"""Routes of providers: how each of them stands, a probe of its link, and a test message."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from channels.channel import Channel, Message
from channels.outcome import Accepted, Delivered, LinkHealth, Outcome, PermanentFailure, RetryLater, SentPart
from gateway.addressing import AddressRefused
from gateway.api.context import ApiContext
from gateway.api.documentation import documented
from gateway.api.json_bodies import JsonRoute
from gateway.api.paging import Page
from gateway.api.parameters import KNOWN
from gateway.api.problems import Problem, wrong_field
from gateway.api.roles import Caller, Permission
from gateway.api.views import View
from gateway.blanks import readable
from gateway.breaker import Breaker
from gateway.ids import new_id
from gateway.settings_problems import suggestion

log = structlog.get_logger(__name__)

TEXT: Final = "Tocsin test message: nothing has happened, nothing is to be done."
ProviderName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="the name of the provider in the settings",
        examples=["carrier-a"],
    ),
]


class TestIn(BaseModel):
    """Whom to send a test message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str = Field(
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00]*$",
        description="whom to send it to: an address of the provider's channel",
        examples=["sms:+33612345678"],
    )
    text: Annotated[str, AfterValidator(readable)] = Field(
        default=TEXT,
        min_length=1,
        max_length=1_000,
        pattern=r"^[^\x00]*$",
        description="what it says",
        examples=["Tocsin test message: nothing has happened, nothing is to be done."],
    )


class LinkView(View):
    """How the links of a provider stand."""

    up: bool = Field(description="at least one link works")
    detail: str = Field(description="how it stands, for people", examples=["bound as transceiver"])
    alarm: bool = Field(description="a fault of the settings: somebody should look")
    links: int = Field(description="how many links there are", examples=[2])
    links_up: int = Field(description="how many of them work", examples=[2])
    outstanding: int = Field(description="requests that it has not answered yet", examples=[0])
    facts: dict[str, str] = Field(description="what it said of itself", examples=[{"system_id": "SMSC"}])


class TroubleView(View):
    """What a provider does instead of its work."""

    kind: Literal["throttled", "unreachable", "unanswered", "refusing", "refused"] = Field(
        description="what it does instead: throttled, unreachable, unanswered, refusing, refused"
    )
    since: datetime = Field(description="since when", examples=["2026-03-01T06:00:00Z"])


class ProviderView(LinkView):
    """A configured provider. While `circuit` is open its deliveries go to the next one of the route."""

    name: str = Field(description="its name in the settings", examples=["carrier-a"])
    channel: str = Field(description="the channel that it carries", examples=["sms"])
    kind: str = Field(description="the kind of system", examples=["smpp"])
    circuit: Literal["closed", "open", "half_open"] = Field(
        description="open: its deliveries go to the next one of the route; half_open: it is being tried"
    )
    trouble: TroubleView | None = Field(
        description="what the attempts of this process ran into, and since when; null once it takes a message again"
    )
    queue_depth: int | None = Field(
        description="deliveries that wait for it, between two tries too; null while queue or store cannot be asked",
        examples=[0],
    )


class TestPart(View):
    """A part that the provider took."""

    n: int = Field(description="its number, from 1", examples=[1])
    provider_message_id: str = Field(description="the provider's id of it", examples=["5f3a"])
    units: int = Field(description="how many units it counts", examples=[1])


class TestView(View):
    """What the attempt came to."""

    provider: str = Field(description="the provider", examples=["carrier-a"])
    address: str = Field(description="where it went", examples=["sms:+33612345678"])
    outcome: Literal["accepted", "delivered", "retry_later", "failed"] = Field(description="what the attempt came to")
    code: str = Field(description="a short word for why", examples=["accepted"])
    detail: str = Field(description="the same for people", examples=["taken by the centre"])
    parts: list[TestPart] = Field(description="what the provider took")


def router(api: ApiContext) -> APIRouter:
    """The routes under /v1/providers."""
    routes = APIRouter(tags=["providers"], route_class=JsonRoute, dependencies=[KNOWN])
    may_read_providers = Depends(api.requires(Permission.READ_PROVIDERS))
    tester = Depends(api.requires(Permission.TEST_PROVIDERS))

    @routes.get("/v1/providers", responses=documented())
    async def list_providers(
        *,
        _caller: Caller = may_read_providers,
    ) -> Page[ProviderView]:
        """The health of each provider."""
        return Page[ProviderView](
            items=[await provider_view(api, name) for name in api.broker.channels], next_cursor=None
        )

    @routes.post("/v1/providers/{name}/probe", responses=documented("not-found"))
    async def probe_provider(*, _caller: Caller = tester, name: ProviderName) -> LinkView:
        """Opens a connection of its own, authenticates and closes it again. Nothing is sent."""
        return LinkView.model_validate(_link(await _channel(api, name).probe()))

    @routes.post("/v1/providers/{name}/test", responses=documented("not-found", body=True))
    async def test_provider(*, caller: Caller = tester, name: ProviderName, body: TestIn) -> TestView:
        """Sends one message directly over this provider. It is charged to nobody and recorded only in the log."""
        channel = _channel(api, name)
        address = _address(api, channel, body.to)
        message = Message(address=address, text=body.text, reference=new_id("tst"), subject="Tocsin test")
        outcome = await channel.send(message)
        told = _outcome(outcome)
        log.info("provider_tested", provider=name, key=caller.key_id, outcome=told["outcome"], code=told["code"])
        return TestView.model_validate({"provider": name, "address": f"{channel.name}:{address}", **told})

    return routes


async def provider_view(api: ApiContext, name: str) -> ProviderView:
    """The provider as it stands."""
    channel = api.broker.channels[name]
    kind = next((provider.kind for provider in api.settings.providers if provider.name == name), "")
    breaker = api.broker.breakers[name]
    members = {
        "name": name,
        "channel": channel.name,
        "kind": kind,
        "circuit": str(breaker.circuit),
        "trouble": _trouble(api, breaker),
        "queue_depth": await api.backlog.depth(name),
    }
    return ProviderView.model_validate({**members, **_link(channel.health())})


def _trouble(api: ApiContext, breaker: Breaker) -> dict[str, object] | None:
    standing = breaker.standing(api.clock.monotonic())
    if standing is None:
        return None
    since = api.clock.now() - timedelta(seconds=standing.for_s)
    return {"kind": standing.trouble.name.lower(), "since": since}


def _link(health: LinkHealth) -> dict[str, object]:
    return {
        "up": health.up,
        "detail": health.detail,
        "alarm": health.alarm,
        "links": health.links,
        "links_up": health.links_up,
        "outstanding": health.outstanding,
        "facts": dict(health.facts),
    }


def _channel(api: ApiContext, name: str) -> Channel:
    channel = api.broker.channels.get(name)
    if channel is None:
        raise Problem("not-found", f"there is no provider {name}{suggestion(name, api.broker.channels)}")
    return channel


def _address(api: ApiContext, channel: Channel, to: str) -> str:
    """The canonical address without its channel. What no alert may reach, no test may; a route is not needed."""
    try:
        return api.broker.planner.addresses.of_provider(channel.provider, to.removeprefix(f"{channel.name}:"))
    except AddressRefused as refused:
        raise wrong_field("to", refused.code, str(refused)) from refused


def _outcome(outcome: Outcome) -> dict[str, object]:
    match outcome:
        case Accepted():
            return {"outcome": "accepted", "code": outcome.code, "detail": outcome.detail, "parts": _of(outcome.parts)}
        case Delivered():
            return {"outcome": "delivered", "code": outcome.code, "detail": outcome.detail, "parts": []}
        case RetryLater() | PermanentFailure():
            word = "retry_later" if isinstance(outcome, RetryLater) else "failed"
            reason = outcome.reason
            return {"outcome": word, "code": reason.code, "detail": reason.detail, "parts": _of(outcome.parts)}


def _of(parts: tuple[SentPart, ...]) -> list[dict[str, object]]:
    return [{"n": part.n, "provider_message_id": part.provider_message_id, "units": part.units} for part in parts]

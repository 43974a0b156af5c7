"""The settings as they are once a file is read. Providers' keys live beside their channels; reading: `gateway.settings_loading`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from gateway.backoff import BackoffPolicy
from gateway.blanks import is_blank
from gateway.destinations import PHONE_CHANNELS, DestinationPolicy, countries_of_prefixes
from gateway.durations import Turn
from gateway.prefixes import Allowed
from gateway.routing import Route, Routes
from gateway.settings_formats import (
    Address,
    Country,
    Dialled,
    Name,
    Network,
    NumberPrefix,
    PinHash,
    QueueUrl,
    ShortCode,
    StoreUrl,
    TimeZone,
)
from gateway.settings_http import HttpSettings
from gateway.settings_speech import SpeechSettings

PRIORITIES = ("emergency", "high", "normal", "bulk")
Priority = Literal["emergency", "high", "normal", "bulk"]
Language = Annotated[str, Field(max_length=35, pattern=r"^(?:[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*)?$")]

_DAY_S = 86_400


class Section(BaseModel):
    """What all tables of the file share: nothing can be changed, added or printed by accident."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class StoreSettings(Section):
    """[store]: where alerts, deliveries and money are kept."""

    url: StoreUrl = Field(
        default=SecretStr("sqlite:///tocsin.db"),
        description="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
    )
    pool_size: int = Field(default=10, ge=1, le=200, description="connections with which one process reads")
    pool_wait_s: int = Field(default=10, ge=1, le=300, description="longest wait for a free connection")


class QueueSettings(Section):
    """[queue]: what tells the processes where to look; the store is the truth."""

    url: QueueUrl = Field(
        default=SecretStr("memory:"), description="memory: for one process, redis://… or rediss://… for several"
    )


class ProviderHead(Section):
    """The keys that all [[providers]] tables have."""

    name: Name = Field(description="what routes, attempts and metrics call it")
    channel: Name = Field(description="the channel it serves")
    kind: Name = Field(description="the protocol it speaks; decides which other keys there are")


class Provider(ProviderHead):
    """One [[providers]] table; its other keys are `settings`, of the model that the channel has for the kind."""

    settings: BaseModel = Field(exclude=True)


class RouteSettings(Section):
    """One [[routes]] table."""

    channel: Name = Field(description="the channel whose addresses it takes")
    prefix: str = Field(default="", max_length=254, description="how those addresses begin; the longest prefix wins")
    providers: tuple[str, ...] = Field(min_length=1, max_length=16, description="providers' names, in the order tried")


class DestinationSettings(Section):
    """[destinations]: whom the gateway may reach by phone number. Emergency services never are."""

    countries: tuple[Country, ...] | None = Field(default=None, min_length=1, description="ISO 3166 codes")
    default_region: Country | None = Field(default=None, description="country from which short numbers are dialled")
    short_codes: tuple[ShortCode, ...] = Field(default=(), max_length=1_000, description="short codes that are allowed")
    unlisted_prefixes: tuple[NumberPrefix, ...] = Field(
        default=(), max_length=100, description="number ranges that are too new for the numbering plans known here"
    )
    allow_premium: bool = Field(default=False, description="let premium-rate numbers through")
    allow_shared_cost: bool = Field(default=False, description="let shared-cost numbers through")
    allow_satellite: bool = Field(default=False, description="let satellite numbers through")

    @property
    def allowed(self) -> Allowed:
        """What addresses may begin with."""
        return Allowed(countries=frozenset(self.countries or ()), short_codes=self.short_codes)


class RetrySettings(Section):
    """The keys of every section that tries again."""

    attempts_max: int = Field(ge=1, le=100)
    backoff_first_s: float = Field(ge=0.1, le=3_600, description="wait after the first failure; it doubles")
    backoff_max_s: float = Field(ge=1, le=_DAY_S, description="longest wait between two attempts")

    @model_validator(mode="after")
    def _waits_grow(self) -> Self:
        if self.backoff_max_s < self.backoff_first_s:
            raise ValueError("expected backoff_max_s to be at least backoff_first_s")
        return self

    @property
    def backoff(self) -> BackoffPolicy:
        """The keys as the policy that gateway.backoff takes."""
        return BackoffPolicy(attempts_max=self.attempts_max, first_s=self.backoff_first_s, max_s=self.backoff_max_s)


class CallbackSettings(RetrySettings):
    """[callbacks]: what is sent to the callback URLs of alerts."""

    attempts_max: int = Field(default=12, ge=1, le=100, description="attempts before a callback is parked")
    backoff_first_s: float = Field(default=5, ge=0.1, le=3_600, description="wait after the first failure; it doubles")
    backoff_max_s: float = Field(default=3_600, ge=1, le=_DAY_S, description="longest wait between two attempts")
    response_s: float = Field(default=10, ge=0.5, le=120, description="time a receiver has to answer")
    allow_private: bool = Field(default=False, description="let callbacks go to private and loopback addresses")
    allow_http: bool = Field(default=False, description="let callbacks go out without TLS, wherever they go")
    allowed_networks: tuple[Network, ...] = Field(
        default=(), max_length=100, description="networks that are reached as if they were public"
    )
    connections_max: int = Field(default=100, ge=1, le=1_000, description="connections open at once")


class ExpirySettings(Section):
    """[delivery.expires_after_s]: how long the deliveries of an alert are worth trying, by its priority."""

    emergency: int = Field(default=4 * 3_600, ge=10, le=30 * _DAY_S, description="for emergency alerts")
    high: int = Field(default=4 * 3_600, ge=10, le=30 * _DAY_S, description="for high alerts")
    normal: int = Field(default=_DAY_S, ge=10, le=30 * _DAY_S, description="for normal alerts")
    bulk: int = Field(default=2 * _DAY_S, ge=10, le=30 * _DAY_S, description="for bulk alerts")

    def of(self, priority: Priority) -> int:
        """The seconds for this priority."""
        return int(getattr(self, priority))


class DeliverySettings(RetrySettings):
    """[delivery]: how often and how long a delivery is tried."""

    attempts_max: int = Field(default=5, ge=1, le=100, description="attempts over one provider")
    backoff_first_s: float = Field(default=2, ge=0.1, le=3_600, description="wait after the first failure; it doubles")
    backoff_max_s: float = Field(default=300, ge=1, le=_DAY_S, description="longest wait between two attempts")
    lease_s: int = Field(default=60, ge=5, le=3_600, description="time a silent worker keeps a delivery")
    unsure_s: int = Field(
        default=60, ge=1, le=_DAY_S, description="wait for a receipt after a link died with no answer"
    )
    expires_after_s: ExpirySettings = Field(default=ExpirySettings(), description="how long it is worth trying")


class AlertSettings(Section):
    """[alerts]: what one alert may ask for."""

    recipients_max: int = Field(default=10_000, ge=1, le=100_000, description="recipients of one alert")
    text_max: int = Field(default=10_000, ge=1, le=100_000, description="characters of its text")


class MessageSettings(Section):
    """[messages]: in which language and time people are told, where nothing nearer says it."""

    language: Language = Field(
        default="", description="the language of alerts, calls and mails that name none, say fr; by default English"
    )
    time_zone: TimeZone = Field(default="UTC", description="the zone in which people are told times, say Europe/Paris")

    @property
    def zone(self) -> tzinfo:
        """The time zone."""
        return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)


class RecipientSettings(Section):
    """One recipient, written as an address or as a table."""

    name: str = Field(default="", max_length=200, description="the recipient's name")
    language: Language = Field(default="", description="the recipient's language, say fr")
    addresses: tuple[Address, ...] = Field(
        min_length=1, max_length=20, description="the recipient's addresses, in the order preferred"
    )

    @classmethod
    def expand(cls, text: str) -> dict[str, Any]:
        """A text alone is the recipient's only address."""
        return {"addresses": [text]}


class LabelMatch(Section):
    """What a label must be: a text, or a regular expression that matches the whole value."""

    equals: str | None = Field(default=None, max_length=1_000, description="the value itself")
    regex: re.Pattern[str] | None = Field(default=None, description="a regular expression for the whole value")

    @model_validator(mode="after")
    def _one_kind(self) -> LabelMatch:
        if (self.equals is None) == (self.regex is None):
            raise ValueError('expected a text or {regex = "…"}')
        return self

    @classmethod
    def expand(cls, text: str) -> dict[str, Any]:
        """A text alone is the value itself."""
        return {"equals": text}

    def matches(self, value: str) -> bool:
        """Whether the label's value fits; a label that is not there has the value ""."""
        return self.regex.fullmatch(value) is not None if self.regex else value == self.equals


class StepSettings(Section):
    """One step of an escalation, as in POST /v1/alerts."""

    after_s: int = Field(default=0, ge=0, le=7 * _DAY_S, description="seconds after the alert")
    channels: tuple[Name, ...] = Field(default=(), max_length=20, description="only these channels")
    recipients: tuple[RecipientSettings, ...] = Field(
        default=(), max_length=1_000, description="other recipients than the rule's"
    )
    repeat: int = Field(default=0, ge=0, le=100, description="how often the step is repeated")
    every_s: int | None = Field(default=None, ge=10, le=_DAY_S, description="seconds between repeats")

    @property
    def turn(self) -> Turn:
        """When it begins, and how often."""
        rest = {} if self.every_s is None else {"every_s": self.every_s}
        return Turn(after_s=self.after_s, repeat=self.repeat, **rest)


class AcknowledgementSettings(Section):
    """When an alert counts as acknowledged, as in POST /v1/alerts."""

    rule: Literal["none", "any", "all", "quorum"] = Field(description="who has to acknowledge")
    quorum: int | None = Field(default=None, ge=1, le=1_000, description="how many people, for the rule quorum")
    confirm_within_s: int | None = Field(default=None, ge=10, le=_DAY_S, description="time to confirm after receiving")

    @model_validator(mode="after")
    def _quorum_is_a_number(self) -> AcknowledgementSettings:
        if (self.rule == "quorum") != (self.quorum is not None):
            raise ValueError('expected quorum = N together with rule = "quorum", and only then')
        return self


class RuleSettings(Section):
    """One [[rules]] table: what an intake makes of the alerts that match; the first rule that matches is taken."""

    name: Name = Field(description="what the timeline calls it")
    source: Literal["alertmanager", "phone"] = Field(default="alertmanager", description="the intake it is for")
    account: Name = Field(description="the account that is charged")
    match: dict[str, LabelMatch] = Field(
        default={}, max_length=50, description='label = "value" or label = {regex = "…"}; all have to fit'
    )
    recipients: tuple[RecipientSettings, ...] = Field(min_length=1, max_length=1_000, description="whom to reach")
    steps: tuple[StepSettings, ...] = Field(default=(), max_length=50, description="when to try whom on which channels")
    priority: Priority = Field(default="high", description="the priority of the alert")
    language: Language = Field(default="", description="the language of the alert")
    acknowledgement: AcknowledgementSettings | None = Field(default=None, description="by default the priority's")
    on_unknown: Literal["resend", "wait"] | None = Field(default=None, description="by default the priority's")
    expires_after_s: int | None = Field(default=None, ge=10, le=30 * _DAY_S, description="by default the priority's")
    sender: str = Field(
        default="",
        max_length=200,
        description="which Alertmanager it is, where several keys are one or one key is several",
    )
    per: Literal["group", "member"] = Field(default="group", description="one alert for a group, or for each member")

    def matches(self, source: str, labels: Mapping[str, str]) -> bool:
        """Whether an alert of this source with these labels is this rule's."""
        return source == self.source and all(test.matches(labels.get(key, "")) for key, test in self.match.items())


class LastResortSettings(Section):
    """[last_resort]: who is told when an alert reached nobody."""

    recipients: tuple[RecipientSettings, ...] = Field(default=(), max_length=100, description="whom to tell")


class PersonSettings(Section):
    """One [[people]] table: somebody who proves by digits who they are."""

    name: str = Field(min_length=1, max_length=200, description="the person's name, as in recipients")
    language: Language = Field(default="", description="the person's language, say fr")
    addresses: tuple[Address, ...] = Field(min_length=1, max_length=20, description="where the person is reached")
    number: str = Field(default="", pattern="^[0-9]{0,12}$", description="the person's number, entered when calling in")
    pin: PinHash = Field(default=SecretStr(""), description="the person's PIN, hashed by `tocsin pins hash`")

    @property
    def pin_hash(self) -> str:
        """The hash, or ""."""
        return self.pin.get_secret_value()


class LineSettings(Section):
    """One [[lines]] table: what answers when a number of ours is called."""

    name: Name = Field(description="what rules and the timeline call it")
    number: Dialled = Field(description="the number or extension that is dialled")
    kind: Literal["acknowledgement", "alarm"] = Field(description="what it is for")
    language: Language = Field(default="", description="the language in which it answers")
    pin: PinHash = Field(default=SecretStr(""), description="who knows it may raise the alarm")
    text: str = Field(default="", max_length=1_000, description="the text of the alarm")
    record_s: int = Field(default=0, ge=0, le=120, description="how long the caller may speak; 0: nothing is recorded")

    @model_validator(mode="after")
    def _an_alarm_has_a_text_and_a_pin(self) -> LineSettings:
        if self.kind == "alarm" and (not self.pin_hash or is_blank(self.text)):
            raise ValueError("an alarm line needs a text and a pin: without a PIN every wrong number raises it")
        if self.kind == "acknowledgement" and (self.pin_hash or self.text or self.record_s):
            raise ValueError(
                "pin, text and record_s are for alarm lines; an acknowledgement line asks for people's own"
            )
        return self

    @property
    def pin_hash(self) -> str:
        """The hash, or ""."""
        return self.pin.get_secret_value()


class LogSettings(Section):
    """[log]: what the gateway writes about itself."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least level written")
    format: Literal["text", "json"] = Field(default="text", description="for people or for machines")


class Settings(Section):
    """The whole file. Every part has defaults; without providers nothing can be sent."""

    store: StoreSettings = StoreSettings()
    queue: QueueSettings = QueueSettings()
    http: HttpSettings = HttpSettings()
    providers: tuple[Provider, ...] = Field(default=(), max_length=1_000)
    routes: tuple[RouteSettings, ...] = Field(default=(), max_length=10_000)
    destinations: DestinationSettings = DestinationSettings()
    callbacks: CallbackSettings = CallbackSettings()
    delivery: DeliverySettings = DeliverySettings()
    alerts: AlertSettings = AlertSettings()
    messages: MessageSettings = MessageSettings()
    rules: tuple[RuleSettings, ...] = Field(default=(), max_length=1_000)
    last_resort: LastResortSettings = LastResortSettings()
    people: tuple[PersonSettings, ...] = Field(default=(), max_length=1_000)
    lines: tuple[LineSettings, ...] = Field(default=(), max_length=100)
    speech: SpeechSettings = SpeechSettings()
    log: LogSettings = LogSettings()

    @cached_property
    def routing(self) -> Routes:
        """Which providers an address goes to."""
        by_channel: dict[str, tuple[str, ...]] = {}
        for provider in self.providers:
            by_channel[provider.channel] = (*by_channel.get(provider.channel, ()), provider.name)
        routes = [Route(channel=route.channel, prefix=route.prefix, providers=route.providers) for route in self.routes]
        return Routes(routes, by_channel)

    @cached_property
    def destination_policies(self) -> Mapping[str, DestinationPolicy]:
        """What each channel of phone numbers may reach: the countries named, else those of its routes, else all."""
        return {channel: self._destination_policy(channel) for channel in sorted(PHONE_CHANNELS)}

    def _destination_policy(self, channel: str) -> DestinationPolicy:
        prefixes = [route.prefix for route in self.routes if route.channel == channel]
        countries = frozenset(self.destinations.countries or ())
        if not countries and prefixes:
            countries = countries_of_prefixes(prefixes)
        return DestinationPolicy(
            countries=countries if countries or prefixes else None,
            default_region=self.destinations.default_region,
            short_codes=frozenset(self.destinations.short_codes),
            unlisted_prefixes=self.destinations.unlisted_prefixes,
            allow_premium=self.destinations.allow_premium,
            allow_shared_cost=self.destinations.allow_shared_cost,
            allow_satellite=self.destinations.allow_satellite,
        )


def default_settings() -> Settings:
    """The settings of an empty file."""
    return Settings()

"""What a channel on which people talk back is given when the gateway starts."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from channels.conversation import Attendant, Conversing, Stop
from gateway.addressing import AddressRefused
from gateway.attendant import PhoneAttendant
from gateway.attending import attend
from gateway.breaker import Breaker, Circuit
from gateway.broker import Broker
from gateway.settings import PersonSettings, Settings
from tests.gateway.desk import MovedClock
from tests.gateway.test_breaker import DEAD


class Talking:
    """A channel that keeps what it is given."""

    name = "voice"

    def __init__(self) -> None:
        self.attendant: Attendant | None = None
        self.alive: Callable[[], None] = lambda: None
        self.joined: Callable[[int], None] = lambda _: None

    def attend(
        self,
        attendant: Attendant,
        *,
        alive: Callable[[], None] = lambda: None,
        joined: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.attendant, self.alive, self.joined = attendant, alive, joined

    def stop(self, reference: str, stop: Stop) -> None:
        del reference, stop


def broker_of(channels: dict[str, object], *people: PersonSettings) -> Broker:
    """As much of a broker as is needed; it takes addresses of the channel voice."""

    def canonical(address: str) -> str:
        if not address.startswith("voice:"):
            raise AddressRefused("unknown_channel", "expected voice")
        return address.replace(" ", "")

    made: Any = SimpleNamespace(
        settings=Settings(people=people),
        planner=SimpleNamespace(canonical=canonical),
        channels=channels,
        breakers={name: Breaker() for name in channels},
        dispatchers={name: SimpleNamespace(joined=lambda _: None) for name in channels},
        store=None,
        journal=None,
        clock=MovedClock(),
        names={},
        large=None,
    )
    return cast("Broker", made)


def test_each_channel_on_which_people_talk_back_has_an_attendant_and_a_way_to_say_that_its_provider_lives() -> None:
    one, other, silent = Talking(), Talking(), object()
    assert isinstance(one, Conversing)
    broker = broker_of({"a": one, "b": other, "c": silent})
    attend(broker)
    assert isinstance(one.attendant, PhoneAttendant)
    for name in ("a", "b"):
        breaker = broker.breakers[name]
        for _ in range(5):
            breaker.saw(DEAD, 0.0)
        assert breaker.allows(100.0)
    one.alive()
    assert broker.breakers["a"].circuit is Circuit.CLOSED
    assert broker.breakers["b"].circuit is Circuit.HALF_OPEN


def test_people_are_called_by_the_names_that_the_settings_give_their_addresses() -> None:
    ada = PersonSettings(name="ada", addresses=("voice:+33612345678", "voice:+33 6"))
    cyd = PersonSettings(name="cyd", addresses=("voice:+336 2",))
    broker = broker_of({}, ada, cyd)
    attend(broker)
    assert broker.names == {"voice:+33612345678": "ada", "voice:+336": "ada", "voice:+3362": "cyd"}

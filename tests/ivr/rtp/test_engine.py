"""The media of many calls on real sockets, with the clock moved by hand: pace, ports, and a call at fault among others."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from prometheus_client import REGISTRY

from ivr.rtp.engine import READS_MAX, TICK_S, MediaEngine, MediaPort, NoPortError
from ivr.rtp.packet import RtpPacket, parse_rtp, written
from ivr.rtp.stream import KeyHeard, MediaEvent, MediaStream
from ivr.sip.sdp import AudioSession
from tests.peers.ports import free_ports

LOCAL = "127.0.0.1"
KEY_5 = b"\x05\x0a\x00\xa0"
Heard = Sequence[tuple[MediaStream, Sequence[tuple[str, bytes]]]]


def session(port: int) -> AudioSession:
    """Audio to this port here."""
    return AudioSession(
        address=LOCAL, port=port, codec="PCMA", payload_type=8, accepts={8: "PCMA"}, event_payload_type=101,
        events=frozenset({101}),
    )  # fmt: skip


def enough_ports() -> tuple[int, int]:
    """For as many calls as there are in any test."""
    first = free_ports(200)
    return first, first + 199


def bound(port: int) -> socket.socket:
    """A socket on this port."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((LOCAL, port))
    except OSError:
        sock.close()
        raise
    return sock


@dataclass(eq=False)
class Timer:
    """One call of the clock's."""

    when: float
    action: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """It does not come."""
        self.cancelled = True


class Clock:
    """The part of an event loop that the engine uses, with its time moved by hand."""

    def __init__(self) -> None:
        self.now = 5_000.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        """The time."""
        return self.now

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """To be called when it is time."""
        self._timers.append(Timer(when, action))
        return self._timers[-1]

    def run(self, seconds: float, *, late_s: Callable[[], float] = lambda: 0.0) -> None:
        """Time goes by; each timer fires so much later than it should."""
        end = self.now + seconds
        while (timer := min(self._timers, key=lambda one: one.when, default=None)) and timer.when <= end + 1e-6:
            self._timers.remove(timer)
            self.now = max(self.now, timer.when + late_s())
            if not timer.cancelled:
                timer.action()
        self.now = max(self.now, end)

    def tick(self) -> None:
        """The next 20 ms."""
        self.run(TICK_S)

    def stand_still(self, seconds: float) -> None:
        """Nothing is called for so long."""
        self.now += seconds


class Ears:
    """Hears everything."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def hear(self, heard: Heard) -> None:
        """A tick's sound."""
        self.heard += [payload for _, frames in heard for _, payload in frames]


class BrokenEars:
    """A listener that has a fault of ours once it is `broken`."""

    broken = False

    def hear(self, heard: Heard) -> None:
        """Nothing."""
        if self.broken:
            raise RuntimeError("a fault of ours")


def counted(name: str) -> float:
    """What the counter says."""
    return REGISTRY.get_sample_value(name) or 0.0


def ignore(_event: MediaEvent) -> None:
    """Nobody listens."""


def fault(_event: MediaEvent) -> None:
    """Whoever listens has a fault of ours."""
    raise RuntimeError("a fault of ours")


class Far:
    """The other side's socket, which never blocks."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOCAL, 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]

    def received(self) -> list[RtpPacket]:
        """What came since the last look."""
        found: list[RtpPacket] = []
        while True:
            try:
                packet = parse_rtp(self.socket.recv(2_048))
            except BlockingIOError:
                return found
            assert packet is not None
            found.append(packet)

    def say(self, port: MediaPort, payload_type: int, payload: bytes, sequence: int) -> None:
        """Sends a packet."""
        data = written(RtpPacket(payload_type, False, sequence, sequence * 160, 5, payload))
        self.socket.sendto(data, (LOCAL, port.port))


@pytest.fixture
def clock() -> Clock:
    """The engines' time."""
    return Clock()


@pytest.fixture
def ears() -> Ears:
    """A listener."""
    return Ears()


Starting = Callable[[tuple[int, int]], MediaEngine]


@pytest.fixture
def broken_ears() -> BrokenEars:
    """A listener that goes before it."""
    return BrokenEars()


@pytest.fixture
def start(clock: Clock, ears: Ears, broken_ears: BrokenEars, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starting]:
    """Starts engines with these ports; all of them end with the test."""
    engines: list[MediaEngine] = []

    def starting(ports: tuple[int, int]) -> MediaEngine:
        engine = MediaEngine(host=LOCAL, ports=ports, listeners=(broken_ears, ears))
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "get_running_loop", lambda: clock)
            engine.start()
        engines.append(engine)
        return engine

    yield starting
    for engine in engines:
        engine.stop()


@pytest.fixture
def engine(start: Starting) -> MediaEngine:
    """An engine with room for all."""
    return start(enough_ports())


@pytest.fixture
def far() -> Iterator[Far]:
    """The other side."""
    far = Far()
    yield far
    far.socket.close()


# --- pace ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_fifty_streams_keep_their_pace(engine: MediaEngine, clock: Clock, far: Far, late: bool) -> None:
    for port in [engine.open(ignore) for _ in range(50)]:
        port.stream.configure(session(far.port), 0.0)
    dice = random.Random(7)
    packets: list[RtpPacket] = []
    for _ in range(10):
        clock.run(0.1, late_s=lambda: dice.uniform(0, 0.019) if late else 0.0)
        packets += far.received()
    counts = Counter(packet.ssrc for packet in packets)
    assert list(counts.values()) == [50] * 50
    for ssrc in counts:
        own = [packet for packet in packets if packet.ssrc == ssrc]
        assert {(after.sequence - before.sequence) & 0xFFFF for before, after in itertools.pairwise(own)} == {1}
        assert {(after.timestamp - before.timestamp) & 0xFFFFFFFF for before, after in itertools.pairwise(own)} == {160}


def test_what_was_missed_in_a_short_stall_is_made_up_for(engine: MediaEngine, clock: Clock, far: Far) -> None:
    engine.open(ignore).stream.configure(session(far.port), 0.0)
    clock.run(0.1)
    sent = len(far.received())
    clock.stand_still(0.4)
    clock.tick()
    assert len(far.received()) == 21
    clock.run(0.1)
    assert sent == len(far.received()) == 5


def test_after_a_long_stall_the_clock_starts_anew(engine: MediaEngine, clock: Clock, far: Far) -> None:
    engine.open(ignore).stream.configure(session(far.port), 0.0)
    before = counted("tocsin_rtp_stalls_total")
    clock.run(0.1)
    far.received()
    clock.stand_still(3.0)
    clock.run(0.1)
    assert len(far.received()) == 6
    assert counted("tocsin_rtp_stalls_total") == before + 1


async def test_the_engine_runs_in_its_loop(far: Far) -> None:
    loop = asyncio.get_running_loop()
    engine = MediaEngine(host=LOCAL, ports=enough_ports())
    began = loop.time()
    engine.start()
    try:
        engine.open(ignore).stream.configure(session(far.port), 0.0)
        async with asyncio.timeout(30):
            for _ in range(5):
                assert parse_rtp(await loop.sock_recv(far.socket, 2_048)) is not None
        assert loop.time() - began >= 5 * TICK_S - 0.001
    finally:
        engine.stop()


# --- ports -----------------------------------------------------------------------------------------------------------


async def test_a_port_that_is_not_wanted_any_more_while_it_is_listened_to_is_given_back() -> None:
    first = free_ports(2)
    engine = MediaEngine(host=LOCAL, ports=(first, first + 1))
    engine.start()
    try:
        opening = asyncio.create_task(engine.open_secret(ignore))
        await asyncio.sleep(0)
        with pytest.raises(NoPortError):
            engine.open(ignore)
        opening.cancel()
        await asyncio.wait({opening})
        assert engine.open(ignore).port == first
    finally:
        engine.stop()


def test_ports_are_even_and_given_back(start: Starting) -> None:
    first = free_ports(8)
    engine = start((first + 1, first + 7))
    for _ in range(5):
        ports = [engine.open(ignore) for _ in range(3)]
        assert {port.port for port in ports} == {first + 2, first + 4, first + 6}
        with pytest.raises(NoPortError, match="no free port"):
            engine.open(ignore)
        for port in ports:
            port.close()
            port.close()
    kept, given = engine.open(ignore), engine.open(ignore)
    given.close()
    assert engine.open(ignore).port not in (kept.port, given.port)  # what was given back last is used last
    engine.stop()
    bound(kept.port).close()


def test_a_port_that_somebody_else_has_is_left_out(start: Starting) -> None:
    first = free_ports(4)
    engine = start((first, first + 3))
    with closing(bound(first)):
        assert engine.open(ignore).port == first + 2
        with pytest.raises(NoPortError):
            engine.open(ignore)


def test_no_ports_at_all(start: Starting) -> None:
    first = free_ports(2)
    engine = start((first + 1, first + 1))
    with pytest.raises(NoPortError):
        engine.open(ignore)


def test_an_engine_that_was_stopped_has_no_ports_open(engine: MediaEngine, clock: Clock, far: Far) -> None:
    ports = [engine.open(ignore) for _ in range(3)]
    ports[0].stream.configure(session(far.port), 0.0)
    engine.stop()
    engine.stop()
    assert all(port.socket.fileno() == -1 for port in ports)
    clock.run(1.0)
    assert far.received() == []


# --- what comes ------------------------------------------------------------------------------------------------------


def test_keys_and_sound_come_in(engine: MediaEngine, clock: Clock, ears: Ears, far: Far) -> None:
    events: list[MediaEvent] = []
    port = engine.open(events.append)
    port.stream.configure(session(far.port), 0.0)
    port.stream.listening = True
    for n in range(20):
        far.say(port, 8, bytes([n]) * 160, n)
    far.say(port, 101, KEY_5, 20)
    clock.run(0.1)
    assert ears.heard == [bytes([n]) * 160 for n in range(20)]
    assert events == [KeyHeard("5")]
    assert port.stream.remote == (LOCAL, far.port)
    assert len(far.received()) == 5


def test_who_still_sends_to_a_port_that_was_another_calls_is_not_heard(
    engine: MediaEngine, clock: Clock, far: Far
) -> None:
    keys: list[MediaEvent] = []
    clock.run(5.0)
    port = engine.open(keys.append, secret=True)
    for n in range(100):
        if n == 5:  # our INVITE leaves
            port.stream.announced()
        if n == 60:  # the call is answered, by somebody else
            port.stream.configure(session(far.port + 1), clock.now)
        far.say(port, 101, KEY_5, n)
        clock.tick()
    assert (keys, port.stream.counts.received) == ([], 0)


def test_a_flood_does_not_take_the_time_of_others(engine: MediaEngine, clock: Clock, ears: Ears, far: Far) -> None:
    flooded, other = engine.open(ignore), engine.open(ignore)
    for port in (flooded, other):
        port.stream.configure(session(far.port), 0.0)
        port.stream.listening = True
    for n in range(2_000):
        far.say(flooded, 8, b"f" * 160, n)
    far.say(other, 8, b"o" * 160, 1)
    clock.tick()
    assert Counter(ears.heard) == {b"f" * 160: READS_MAX, b"o" * 160: 1}
    assert len(far.received()) == 2


# --- calls at fault --------------------------------------------------------------------------------------------------


def test_a_stream_that_raises_in_its_tick_silences_no_other(engine: MediaEngine, clock: Clock, far: Far) -> None:
    first, broken, last = engine.open(ignore), engine.open(fault), engine.open(ignore)
    for port in (first, broken, last):
        port.stream.configure(session(far.port), 0.0)
    for _ in range(4):
        broken.stream.play([])  # its end is told in the next tick
        clock.tick()
        sent = {packet.ssrc for packet in far.received()}
        assert {first.stream._ssrc, last.stream._ssrc} <= sent


def test_a_call_at_fault_in_what_it_hears_silences_no_other(
    engine: MediaEngine, clock: Clock, ears: Ears, far: Far
) -> None:
    keys: list[MediaEvent] = []
    ports = [engine.open(on_event) for on_event in (keys.append, fault, keys.append)]
    for port in ports:
        port.stream.configure(session(far.port), 0.0)
        port.stream.listening = True
    for n in range(10):
        for port in ports:
            far.say(port, 8, bytes([n]) * 160, 10 * n)
            far.say(port, 101, KEY_5, 10 * n + 1)
        clock.tick()
    assert keys == [KeyHeard("5")] * 20
    assert Counter(ears.heard) == {bytes([n]) * 160: 3 for n in range(10)}  # what came before the fault is heard too
    assert Counter(packet.ssrc for packet in far.received()) == {port.stream._ssrc: 10 for port in ports}


def test_a_listener_at_fault_takes_no_sound_from_the_others(
    engine: MediaEngine, clock: Clock, broken_ears: BrokenEars, ears: Ears, far: Far
) -> None:
    broken_ears.broken = True
    port = engine.open(ignore)
    port.stream.configure(session(far.port), 0.0)
    port.stream.listening = True
    for n in range(10):
        far.say(port, 8, b"s" * 160, n)
        clock.tick()
    assert len(ears.heard) == 10
    assert len(far.received()) == 10


def test_a_call_may_end_in_its_own_event_or_in_that_of_another(engine: MediaEngine, clock: Clock, far: Far) -> None:
    ports: list[MediaPort] = []

    def end_all(_event: MediaEvent) -> None:
        for port in ports:
            port.close()

    ports += [engine.open(end_all) for _ in range(3)]
    survivor = engine.open(ignore)
    for port in (*ports, survivor):
        port.stream.configure(session(far.port), 0.0)
    for port in ports:
        far.say(port, 101, KEY_5, 20)
    clock.run(0.1)
    assert Counter(packet.ssrc for packet in far.received()) == {survivor.stream._ssrc: 5}


@pytest.mark.parametrize(("address", "unsent"), [("255.255.255.255", 5), ("2001:db8::1", 5), (LOCAL, 0)])
def test_packets_to_nowhere_are_survived(
    engine: MediaEngine, clock: Clock, far: Far, address: str, unsent: int
) -> None:
    lost, well = engine.open(ignore), engine.open(ignore)
    with closing(bound(0)) as gone:
        nobody = gone.getsockname()[1]
    lost.stream.configure(replace(session(nobody), address=address), 0.0)
    well.stream.configure(session(far.port), 0.0)
    before = counted("tocsin_rtp_unsent_total")
    clock.run(0.1)
    assert len(far.received()) == 5
    assert counted("tocsin_rtp_unsent_total") == before + unsent

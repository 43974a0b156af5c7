"""No octets make the readers of RTP and of telephone events, or a stream of audio, raise or grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ivr.rtp.packet import PACKET_BYTES_MAX, RtpPacket, parse_rtp, written
from ivr.rtp.stream import FRAMES_HEARD_MAX, KeyHeard, MediaEvent, MediaStream
from ivr.rtp.telephone_event import EVENTS, EventReceiver
from ivr.sip.sdp import AudioSession

RTP_HEADS = st.builds(
    lambda first, second, sequence, timestamp, ssrc, rest: (
        bytes([first, second])
        + sequence.to_bytes(2, "big")
        + timestamp.to_bytes(4, "big")
        + ssrc.to_bytes(4, "big")
        + rest
    ),
    st.sampled_from([0x80, 0x80, 0x80, 0x90, 0xA0, 0x81, 0x8F, 0xBF, 0x40, 0x00]),
    st.sampled_from([0, 8, 0x88, 101, 0xE5, 13, 200, 127]),
    st.integers(0, 3) | st.integers(0, 0xFFFF),
    st.integers(0, 3) | st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 2),
    st.binary(max_size=40) | st.binary(min_size=4, max_size=4).map(lambda tail: bytes([tail[0] % 18]) + tail[1:]),
)
PACKETS = RTP_HEADS | st.binary(max_size=60) | st.integers(2_000, 2_100).map(lambda size: b"\x80\x08" + bytes(size))


@given(PACKETS)
def test_any_octets_are_a_packet_or_none(data: bytes) -> None:
    packet = parse_rtp(data)
    if packet is None:
        return
    assert len(data) <= PACKET_BYTES_MAX
    assert len(packet.payload) <= len(data) - 12
    assert packet.payload in data
    assert 0 <= packet.payload_type < 128
    assert parse_rtp(written(packet)) == packet


@given(
    st.builds(
        RtpPacket, st.integers(0, 63), st.booleans(), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF),
        st.integers(0, 0xFFFF_FFFF), st.binary(max_size=200),
    )
)  # fmt: skip
def test_any_packet_is_read_as_written(packet: RtpPacket) -> None:
    assert parse_rtp(written(packet)) == packet


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 0xFFFF), st.booleans(), st.binary(max_size=6)),
        max_size=60,
    )
)
def test_any_telephone_events_are_keys_at_most_one_a_packet(packets: list[tuple[int, int, int, bool, bytes]]) -> None:
    receiver = EventReceiver()
    for n, (ssrc, timestamp, sequence, marker, payload) in enumerate(packets):
        key = receiver.receive(ssrc, timestamp, payload, sequence=sequence, now=n * 0.02, marker=marker)
        assert key is None or key == EVENTS[payload[0]]
        # the same packet once more tells nothing
        assert receiver.receive(ssrc, timestamp, payload, sequence=sequence, now=n * 0.02, marker=marker) is None


MEDIA_SOURCES = st.sampled_from([("203.0.113.9", 30_000), ("203.0.113.9", 30_001), ("2001:db8::1", 4)])
MEDIA_STEPS = st.lists(st.tuples(PACKETS, MEDIA_SOURCES), max_size=60)
SESSION = AudioSession(
    address="203.0.113.9",
    port=30_000,
    codec="PCMU",
    payload_type=0,
    accepts={0: "PCMU", 8: "PCMA"},
    event_payload_type=101,
    events=frozenset({101}),
)


@given(
    steps=MEDIA_STEPS, configured=st.booleans(), listening=st.booleans(), keys=st.text("0123456789*#ABCD", max_size=3)
)
def test_no_packets_upset_a_stream(
    steps: list[tuple[bytes, tuple[str, int]]], configured: bool, listening: bool, keys: str
) -> None:
    events: list[MediaEvent] = []
    stream = MediaStream(ssrc=0xFFFF_FFFF, sequence=0xFFFF, timestamp=0xFFFF_FFFF, on_event=events.append)
    stream.listening = listening
    if configured:
        stream.configure(SESSION, 0.0)
        stream.send_keys(keys)
    sent: list[bytes] = []
    for n, (data, source) in enumerate(steps, 1):
        stream.receive(data, source, n / 50)
        counts = stream.counts
        assert counts.received + counts.foreign + counts.broken == n
        assert len(stream.frames_heard) <= (FRAMES_HEARD_MAX if listening else 0)
        assert stream.locked == (counts.received > 0)
        stream.tick(sent)
    assert sum(not isinstance(event, KeyHeard) for event in events) <= configured  # the end of what is sent
    if stream.locked:
        assert configured
        assert stream.remote in {source for _, source in steps}
    assert bool(sent) == (configured and bool(steps))
    packets = [parse_rtp(data) for data in sent]
    assert all(packet is not None and packet.ssrc == 0xFFFF_FFFF for packet in packets)

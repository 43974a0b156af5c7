"""Sound, WAV files and G.711: round trips, known values, and files that cannot be played."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr.audio import g711
from ivr.audio.numeric import np
from ivr.audio.sound import (
    FRAME_SAMPLES,
    RATE_HZ,
    WAV_BYTES_MAX,
    Sound,
    WavError,
    from_array,
    join,
    read_wav,
    silence,
    write_wav,
)
from ivr.audio.tones import tone

CODECS = ["PCMA", "PCMU"]
ALL_OCTETS = bytes(range(256))
ALL_SAMPLES = np.arange(-32_768, 32_768)


def values_of(sound: Sound) -> list[int]:
    return [int(one) for one in np.frombuffer(sound.samples, dtype="<i2")]


def of(values: list[int]) -> Sound:
    return Sound(struct.pack(f"<{len(values)}h", *values))


def wav(
    body: bytes, *, kind: int = 1, channels: int = 1, rate_hz: int = RATE_HZ, bits: int = 16, before: bytes = b""
) -> bytes:
    """A WAV file with these values in its head, right or not."""
    form = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * channels * bits // 8, channels * bits // 8, bits)
    content = b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form
    content += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


# --- WAV files -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-32_768, 32_767), max_size=400))
def test_round_trip_of_pcm(values: list[int]) -> None:
    read = values_of(read_wav(write_wav(of(values))))
    assert len(read) == len(values)
    assert all(abs(one - other) <= 1 for one, other in zip(read, values, strict=True))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("duration_s", [0.0, 0.02, 0.5])
def test_round_trip_of_g711(codec: str, duration_s: float) -> None:
    sound = tone([440, 1_000], duration_s)
    read = read_wav(write_wav(sound, codec=codec))
    linear = g711.decode(g711.encode(sound.samples, codec), codec)
    assert len(read.samples) == len(sound.samples)
    assert all(abs(one - other) <= 1 for one, other in zip(values_of(read), values_of(Sound(linear)), strict=True))
    assert read.frames(codec) == sound.frames(codec)


def test_others_read_what_we_write() -> None:
    sound = tone([440], 0.25)
    with wave.open(io.BytesIO(write_wav(sound))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, RATE_HZ, 2)
        assert file.readframes(file.getnframes()) == sound.samples


def test_we_read_what_others_write() -> None:
    sound, data = tone([440], 0.25), io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(sound.samples)
    read = values_of(read_wav(data.getvalue()))
    assert max(abs(one - other) for one, other in zip(read, values_of(sound), strict=True)) <= 1


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bits", [8, 16])
def test_rates_and_channels(rate_hz: int, channels: int, bits: int) -> None:
    at = np.arange(rate_hz) / rate_hz
    heard = 0.5 * np.sin(2 * np.pi * 1_000 * at)
    scaled = np.round(heard * 32_767).astype("<i2") if bits == 16 else np.round(heard * 127 + 128).astype(np.uint8)
    body = np.repeat(scaled, channels).tobytes()
    read = read_wav(wav(body, rate_hz=rate_hz, channels=channels, bits=bits))
    assert read.duration_s == pytest.approx(1.0, abs=0.001)
    values = np.array(values_of(read), dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(values[1_000:7_000]))
    assert np.argmax(spectrum) * RATE_HZ / 6_000 == pytest.approx(1_000, abs=2)
    assert np.sqrt(np.mean(values**2)) == pytest.approx(0.5 * 32_767 / np.sqrt(2), rel=0.06)


def test_nothing_is_heard_of_what_lies_above_the_line() -> None:
    at = np.arange(44_100) / 44_100
    sound = from_array(0.5 * np.sin(2 * np.pi * 6_000 * at), 44_100)
    assert max(abs(one) for one in values_of(sound)[200:-200]) < 200


def test_other_chunks_are_left_out() -> None:
    odd = b"LIST" + struct.pack("<I", 5) + b"INFO!" + b"\0"
    assert values_of(read_wav(wav(struct.pack("<3h", 1, -2, 3), before=odd))) == [1, -2, 3]


def test_extensible_head() -> None:
    form = struct.pack("<HHIIHH", 0xFFFE, 1, RATE_HZ, RATE_HZ, 1, 8) + struct.pack("<HHI", 22, 8, 0)
    form += struct.pack("<H", 7) + bytes.fromhex("000000001000800000aa00389b71")
    data = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 2) + b"\xff\x80"
    assert values_of(read_wav(data)) == [0, pytest.approx(32_124, abs=1)]


BODY = bytes(320)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"hello, this is a text",
        b"RIFX" + wav(BODY)[4:],
        b"RIFF\0\0\0\0AVI " + wav(BODY)[12:],
        wav(BODY)[:12],
        wav(BODY)[:20],
        wav(BODY)[:36],
        wav(BODY)[:40],
        wav(BODY, channels=0),
        wav(BODY, channels=3),
        wav(BODY, rate_hz=0),
        wav(BODY, rate_hz=7_999),
        wav(BODY, rate_hz=96_000),
        wav(BODY, bits=0),
        wav(BODY, bits=24),
        wav(BODY, kind=3, bits=32),
        wav(BODY, kind=85),
        wav(BODY, kind=6, bits=16),
        wav(BODY, kind=0xFFFE),
        wav(BODY).replace(b"fmt ", b"fmx "),
        wav(BODY).replace(b"data", b"date"),
        bytes(WAV_BYTES_MAX + 1),
    ],
    ids=lambda data: f"{len(data)} bytes {data[:4]!r}",
)
def test_files_that_cannot_be_played(data: bytes) -> None:
    with pytest.raises(WavError, match="expected"):
        read_wav(data)


@pytest.mark.parametrize("cut", [1, 2, 3, 100, 319])
def test_file_that_was_cut_is_played_as_far_as_it_goes(cut: int) -> None:
    assert len(read_wav(wav(BODY)[:-cut]).samples) == (320 - cut) // 2 * 2


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes(data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from([None, *CODECS]))
    whole = bytearray(write_wav(tone([440], 0.02), codec=codec))
    places = [at for at in range(48) if at not in range(24, 28)]  # all of the head but the rate
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.sampled_from(places))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        sound = read_wav(bytes(whole[:cut]) + data.draw(st.binary(max_size=20)))
    except WavError:
        return
    assert len(sound.samples) % 2 == 0


# --- sound -----------------------------------------------------------------------------------------------------------


def test_durations() -> None:
    assert silence(0.5).duration_s == 0.5
    assert values_of(silence(0.001)) == [0] * 8
    joined = join([tone([440], 0.1), silence(0.2), Sound(b"")])
    assert joined.duration_s == pytest.approx(0.3)
    assert join([]) == Sound(b"")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 320])
def test_frames(codec: str, samples: int) -> None:
    sound = of([1_000] * samples)
    frames = sound.frames(codec)
    assert len(frames) == -(-samples // FRAME_SAMPLES)
    assert {len(frame) for frame in frames} <= {FRAME_SAMPLES}
    octets = b"".join(frames)
    assert octets[:samples] == g711.encode(sound.samples, codec)
    assert octets[samples:] == g711.SILENCE[codec] * (len(octets) - samples)
    assert sound.frames(codec) is frames


def test_too_loud_is_cut() -> None:
    assert values_of(from_array(np.array([2.0, 1.0, 0.0, -1.0, -2.0]))) == [32_767, 32_767, 0, -32_767, -32_768]


# --- G.711 -----------------------------------------------------------------------------------------------------------

KNOWN = {
    # ITU-T G.711, tables 1 and 2: the values at the ends of the segments, as 16-bit samples
    "PCMA": {
        0xD5: 8, 0x55: -8, 0xD4: 24, 0xDA: 248, 0xC5: 264, 0xCA: 504, 0xF5: 528, 0xFA: 1_008, 0xE5: 1_056, 0x95: 2_112,
        0x85: 4_224, 0xB5: 8_448, 0xA5: 16_896, 0xAA: 32_256, 0x2A: -32_256,
    },
    "PCMU": {
        0xFF: 0, 0x7F: 0, 0xFE: 8, 0x7E: -8, 0xF0: 120, 0xEF: 132, 0xE0: 372, 0xDF: 396, 0xD0: 876, 0xCF: 924,
        0xBF: 1_980, 0xAF: 4_092, 0x9F: 8_316, 0x8F: 16_764, 0x80: 32_124, 0x00: -32_124,
    },
}  # fmt: skip


@pytest.mark.parametrize("codec", CODECS)
def test_known_values(codec: str) -> None:
    for octet, value in KNOWN[codec].items():
        assert struct.unpack("<h", g711.decode(bytes([octet]), codec)) == (value,), hex(octet)
        if octet != 0x7F or codec == "PCMA":  # mu-law has two zeros
            assert g711.encode(struct.pack("<h", value), codec) == bytes([octet]), hex(octet)


@pytest.mark.parametrize("codec", CODECS)
def test_octets_survive(codec: str) -> None:
    back = g711.encode(g711.decode(ALL_OCTETS, codec), codec)
    expected = ALL_OCTETS if codec == "PCMA" else ALL_OCTETS.replace(b"\x7f", b"\xff")
    assert back == expected


@pytest.mark.parametrize("codec", CODECS)
def test_every_sample_becomes_a_value_beside_it(codec: str) -> None:
    decoded = g711.decoded(g711.encode(ALL_SAMPLES.astype("<i2").tobytes(), codec), codec).astype(int)
    assert np.all(np.diff(decoded) >= 0)
    steps = np.unique(g711.decoded(ALL_OCTETS, codec).astype(int))
    gaps = np.diff(steps)
    widest = np.maximum(np.append(gaps, gaps[-1]), np.insert(gaps, 0, gaps[0]))
    loudest = 32_635 if codec == "PCMU" else 32_768
    error = np.abs(np.clip(ALL_SAMPLES, -loudest, loudest) - decoded)
    assert np.all(error <= widest[np.searchsorted(steps, decoded)] / 2)


@pytest.mark.parametrize("codec", CODECS)
def test_silence_is_silent(codec: str) -> None:
    assert g711.encode(bytes(2), codec) == g711.SILENCE[codec]
    assert abs(int(g711.decoded(g711.SILENCE[codec], codec)[0])) <= 8


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_in_nothing_out(codec: str) -> None:
    assert g711.encode(b"", codec) == g711.decode(b"", codec) == b""

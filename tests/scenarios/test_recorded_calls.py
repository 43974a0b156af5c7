"""`tocsin simulate phone --record`: what a person would have heard, of calls that `tocsin serve` makes."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.recordings import RECORDINGS_MAX
from ivr.audio.numeric import np
from ivr.audio.recording import RECORDED_MAX_S
from ivr.audio.sound import RATE_HZ, Sound, read_wav
from tests.gateway.cli_desk import TOCSIN
from tests.ivr.audio.test_recording import keys_in, tracks
from tests.peers.processes import ChildProcess
from tests.peers.waiting import eventually
from tests.scenarios.installation import sip
from tests.scenarios.served import WITHIN_S, serving

TEXT = "The cold room is warm."


def phones(folder: Path, *words: str) -> ChildProcess:
    return ChildProcess(
        [TOCSIN, "simulate", "phone", "--port", "0", "--json", *words], cwd=folder, ready_line=r'"port": (\d+)'
    )


def port_of(phone: ChildProcess) -> int:
    return int(json.loads(phone.output.splitlines()[0])["port"])


def unfinished(folder: Path) -> list[Path]:
    """Files that were being written."""
    return [path for path in folder.iterdir() if path.name.startswith(".calls")]


def peak_of_likeness(heard: Sound, said: Sound) -> float:
    """How well the best place in what was heard fits what was said: 1 is the same sound."""
    one, other = (np.frombuffer(each.samples, dtype="<i2").astype(np.float64) for each in (heard, said))
    size = 1 << (len(one) + len(other)).bit_length()
    products = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)[: len(one)]
    sums = np.concatenate([[0.0], np.cumsum(one**2)])
    energy = sums[np.minimum(np.arange(len(one)) + len(other), len(one))] - sums[:-1]
    return float((products / np.sqrt(np.maximum(energy, 1.0) * (other**2).sum())).max())


async def test_a_call_is_recorded_as_it_was_heard_with_the_keys_of_both_sides(tmp_path: Path) -> None:
    said = tmp_path / "said.wav"
    speaks = ChildProcess([TOCSIN, "say", TEXT, "--language", "en", "--out", said], cwd=tmp_path, ready_line="written")
    with speaks.start():
        spoken = read_wav(said.read_bytes())
    file = tmp_path / "call.wav"
    keys = ("--path", "inband", "--keys", "1", "--keys-s", "8", "--answer-s", "0.1")
    with phones(tmp_path, "--record", str(file), *keys).start() as phone:
        async with serving(tmp_path, sip("pbx", port_of(phone), language="en")) as served:
            one = await served.alert("voice:+33140000000;ext=42", TEXT, priority="high")
            await served.became(one, "acknowledged")
            await eventually(lambda: '"recorded": true' in phone.output, WITHIN_S, what="the recording")
        assert str(file) in [json.loads(line).get("file") for line in phone.output.splitlines()]
    assert file.stat().st_mode & 0o777 == 0o600
    heard, pressed = tracks(file.read_bytes())
    assert spoken.duration_s < heard.duration_s < 60
    assert (
        keys_in(heard) == "42"
    )  # the extension that the gateway dials, in the sound, since this phone knows no events
    assert keys_in(pressed).startswith("1")
    assert peak_of_likeness(heard, spoken) > 0.9
    assert peak_of_likeness(pressed, spoken) < 0.3
    assert np.frombuffer(heard.samples, dtype="<i2").astype(np.float64).std() > 300


async def test_each_call_has_a_file_and_what_was_recorded_is_kept_where_the_phone_is_stopped(tmp_path: Path) -> None:
    for n in range(2, 4):
        (tmp_path / f"calls-{n}.wav").write_bytes(b"of an earlier run")
    with phones(
        tmp_path, "--record", "calls.wav", "--keys", "", "--greeting", "machine", "--answer-s", "0.1"
    ).start() as phone:
        async with serving(tmp_path, sip("pbx", port_of(phone), language="en")) as served:
            await served.alert([f"voice:+3361234567{n}" for n in range(2)], TEXT, priority="emergency")
            await eventually(lambda: phone.output.count('"answered"') == 2, WITHIN_S, what="two answers")
            assert phone.stop() == 0
    for name in ("calls.wav", "calls-2.wav"):
        tracks((tmp_path / name).read_bytes())
    assert (tmp_path / "calls-3.wav").read_bytes() == b"of an earlier run"
    assert unfinished(tmp_path) == []


def test_so_many_recordings_fit_on_a_disk() -> None:
    assert RECORDINGS_MAX * RECORDED_MAX_S * RATE_HZ * 4 < 200e6

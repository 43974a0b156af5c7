"""The bench itself, small: every path still measures what it says, and an incomplete run gives no figure."""

from __future__ import annotations

import socket
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import gateway_process
from tests.bench.__main__ import measure
from tests.bench.paths import SMOKE, Bench
from tests.bench.table import Row, Verdict, at_least, at_most, lines
from tests.bench.tools import InvalidRunError, Sink, post_many, post_request

pytestmark = pytest.mark.xdist_group("bench")  # one after the other: each of them wants both cores


@pytest.fixture(autouse=True)
def _folders_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what an invalid run leaves is removed with the test's


@pytest.mark.parametrize("name", ["single", "broadcast", "history", "smpp", "calls", "keys"])
def test_a_path_is_measured(name: str) -> None:
    rows = measure([name], SMOKE)
    assert rows
    for row in rows:
        assert row.verdict is not Verdict.INVALID, "\n".join(row.notes)
        assert row.measured


def test_start_and_memory_are_measured() -> None:
    start, memory = measure(["start"], SMOKE)
    assert start.measured.endswith(" s")
    assert memory.measured.endswith(" MB")


def test_the_sink_counts_what_comes_twice() -> None:
    with Sink() as sink, socket.create_connection(("127.0.0.1", sink.smpp_port)) as smsc:
        smsc.sendall(_pdu(0x00000009, 1, b"bench\0bench\0\0\x34\0\0\0"))
        submit = b"\0" + b"\5\0ALERT\0" + b"\1\1" + b"33610000007\0" + b"\0\0\0" + b"\0\0" + b"\0\0\0\0\2hi"
        smsc.sendall(_pdu(0x00000004, 2, submit) + _pdu(0x00000004, 3, submit))
        answered = 0
        while answered < 3:
            length = struct.unpack(">I", smsc.recv(4, socket.MSG_WAITALL))[0]
            smsc.recv(length - 4, socket.MSG_WAITALL)
            answered += 1
        arrivals = sink.arrivals()
        assert (arrivals.submits, arrivals.submits_unique, arrivals.submits_duplicated) == (2, 1, 1)
        assert "submits_duplicated 1, not 0" in arrivals.problems(2)
        sink.reset()
        assert sink.arrivals().problems(0) == []


def test_the_sink_counts_callbacks_by_message_and_number() -> None:
    body = b'{"number":1,"status":"completed"}'
    head = (
        b"POST /callbacks/0000007 HTTP/1.1\r\nHost: sink\r\nTocsin-Timestamp: 1\r\nTocsin-Signature: sha256=ab\r\n"
        b"Tocsin-Callback-Number: 1\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with Sink() as sink, socket.create_connection(("127.0.0.1", sink.http_port)) as client:
        for part in (head[:40], head[40:] + body[:5], body[5:] + head + body):  # cut anywhere
            client.sendall(part)
        answer = b"HTTP/1.1 204 No Content\r\n\r\n" * 2
        assert client.recv(len(answer), socket.MSG_WAITALL) == answer
        arrivals = sink.arrivals()
        assert (arrivals.callbacks, arrivals.callbacks_duplicated, arrivals.alerts_completed) == (2, 1, 1)
        (sample,) = sink.samples()
        assert (sample.timestamp, sample.signature, sample.body) == ("1", "sha256=ab", body.decode())


def test_a_run_with_a_duplicate_gives_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sink, "reset", lambda _: None)
    monkeypatch.setattr(Bench, "numbers", lambda _self, _count: 1)
    (row,) = measure(["smpp"], replace(SMOKE, runs=2))
    assert (row.measured, row.verdict) == ("-", Verdict.INVALID)
    assert "submits_duplicated 200, not 0" in row.notes[0]


def test_a_gateway_that_does_not_start_gives_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_process, "SETTINGS", gateway_process.SETTINGS.replace("window =", "widnow ="))
    (row,) = measure(["single"], SMOKE)
    assert row.verdict is Verdict.INVALID
    assert any("widnow" in note for note in row.notes)


def test_a_load_that_is_not_answered_gives_no_figure() -> None:
    with Sink() as sink, pytest.raises(InvalidRunError, match="of 5 requests"):
        # the sink's 204 has no Content-Length, which the load tool insists on
        post_many(sink.http_port, connections=1, requests=5, first=1, request=post_request("/", "key", {"n": "{n}"}))


def test_a_length_counts_the_number_in_place_of_its_mark() -> None:
    head, _, body = post_request("/v1/alerts", "key", {"text": "{n} and {n}"}).partition(b"\r\n\r\n")
    sent = body.replace(b"{n}", b"0000001")
    assert f"Content-Length: {len(sent)}".encode() in head.split(b"\r\n")


def test_verdicts_and_notes_are_printed() -> None:
    rows = [
        Row(path="a", measured="5/s", must_reach="4/s", verdict=at_least(5, 4), notes=["hidden"]),
        Row(path="b", measured="5 s", must_reach="4 s", verdict=at_most(5, 4)),
        Row(path="c", measured="-", verdict=Verdict.INVALID, notes=["one receipt is missing"]),
    ]
    assert lines(rows, verbose=False)[2:] == [
        "a     5/s       4/s         reached",
        "b     5 s       4 s         missed",
        "c     -                     INVALID",
        "    one receipt is missing",
    ]
    assert "    hidden" in lines(rows, verbose=True)


def _pdu(command: int, sequence: int, body: bytes) -> bytes:
    return struct.pack(">IIII", 16 + len(body), command, 0, sequence) + body

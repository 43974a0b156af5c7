"""An SMSC that no one here wrote: npm's `smpp` package, driven by smsc.js, started and questioned from tests."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from tests.peers.ports import LOOPBACK
from tests.peers.processes import ChildProcess, find_binary
from tests.peers.waiting import eventually

_DIRECTORY = Path(__file__).parent
_SCRIPT = _DIRECTORY / "smsc.js"
_PACKAGE = _DIRECTORY / "node_modules" / "smpp" / "package.json"
_CONTROL_TIMEOUT = aiohttp.ClientTimeout(total=10)

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """One submit_sm as it arrived.

    `short_message` and `message_payload` are the octets on the wire, header included; `udh` is that header (empty when
    there is none), `sar` the reference, total and number of the SAR TLVs; `text` is what the library decoded, None for
    binary. `outcome` is what the SMSC did: ``accepted``, ``unanswered``, ``throttled`` or ``rejected``.
    """

    number: int
    outcome: str
    message_id: str
    at_ms: int
    source: str
    source_ton: int
    source_npi: int
    destination: str
    destination_ton: int
    destination_npi: int
    service_type: str
    esm_class: int
    protocol_id: int
    priority_flag: int
    data_coding: int
    registered_delivery: int
    short_message: bytes
    message_payload: bytes | None
    udh: bytes
    sar: tuple[int, int, int] | None
    text: str | None

    @property
    def user_data(self) -> bytes:
        """The octets of the text, without a header."""
        whole = self.short_message if self.message_payload is None else self.message_payload
        return whole[len(self.udh) :]

    @property
    def concatenation(self) -> tuple[int, int, int] | None:
        """Reference, total, number of this part (3GPP TS 23.040, 9.2.3.24.1 and .8, or SAR); None: a whole message."""
        if self.sar is not None:
            return self.sar
        elements = self.udh[1:]
        while len(elements) >= 2:
            kind, length = elements[0], elements[1]
            value, elements = elements[2 : 2 + length], elements[2 + length :]
            if kind == 0x00 and length == 3:
                return value[0], value[1], value[2]
            if kind == 0x08 and length == 4:
                return int.from_bytes(value[:2], "big"), value[2], value[3]
        return None


def reassembled(messages: Iterable[Submitted]) -> dict[str, list[str]]:
    """The texts a phone would show, by destination, in order of completion; duplicates of a part count once.

    Raises AssertionError when a part is missing or two parts disagree on their total.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    parts: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    totals: dict[tuple[str, int], int] = {}
    for message in messages:
        if message.outcome not in {"accepted", "unanswered"}:
            continue
        if message.concatenation is None:
            texts[message.destination].append(message.text or "")
            continue
        reference, total, n = message.concatenation
        key = (message.destination, reference)
        assert totals.setdefault(key, total) == total, f"parts of {key} disagree on their total"
        parts[key][n] = message.text or ""
        if len(parts[key]) == total:
            texts[message.destination].append("".join(text for _, text in sorted(parts.pop(key).items())))
    missing = {key: f"{len(have)} of {totals[key]}" for key, have in parts.items()}
    assert not missing, f"incomplete messages: {missing}"
    return dict(texts)


class NodeSmsc:
    """A running SMSC. The settings of `behaviour` are listed at the top of smsc.js.

    It keeps receipts and inbound messages until a bound receiver confirms them, and delivers them again after a refusal
    or a lost link. After `stop` or `kill`, `start` brings it back on the same ports, with nothing remembered.
    """

    host = LOOPBACK

    def __init__(
        self,
        *,
        behaviour: Mapping[str, object] | None = None,
        keep: int = 10_000,
        tls_key: Path | None = None,
        tls_cert: Path | None = None,
    ) -> None:
        if not _PACKAGE.exists():
            pytest.fail("the npm package smpp is missing in tests/peers: run deploy/dev/peers.sh", pytrace=False)
        self._options: Json = {"keep": keep, "behaviour": dict(behaviour or {})}
        if tls_key is not None and tls_cert is not None:
            self._options |= {"tls_key": str(tls_key), "tls_cert": str(tls_cert)}
        self._process: ChildProcess | None = None
        self.port = 0
        self.control_port = 0

    def start(self) -> Self:
        """Starts it and returns once it listens."""
        options = self._options | {"port": self.port, "control_port": self.control_port}
        self._process = ChildProcess(
            [find_binary("node", "nodejs"), _SCRIPT, json.dumps(options)],
            name="npm smpp SMSC",
            ready_line=r'^\{"smpp_port":(\d+),"control_port":(\d+)\}$',
        ).start()
        self.port, self.control_port = map(int, self._process.matched_line.groups())
        return self

    def stop(self) -> None:
        """Ends it; every connection is cut."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """Hangs it: connections stay open, nothing is read or answered."""
        assert self._process is not None
        self._process.pause()

    def resume(self) -> None:
        """Undoes `pause`."""
        assert self._process is not None
        self._process.resume()

    async def messages(self) -> list[Submitted]:
        """Every submit_sm that was kept, oldest first, with what was answered."""
        rows: list[Json] = await self._control("GET", "/messages")
        return [_submitted(row) for row in rows]

    async def stats(self) -> dict[str, int]:
        """Counters: binds, submits, accepted, throttled, duplicates, receipts_answered, waiting… (see smsc.js)."""
        counters: dict[str, int] = await self._control("GET", "/stats")
        return counters

    async def behave(self, **settings: object) -> None:
        """Changes settings from now on. Raises AssertionError for one that does not exist or has the wrong type."""
        await self._control("POST", "/behaviour", settings)

    async def send_mo(
        self,
        *,
        source: str,
        destination: str,
        text: str | None = None,
        octets: bytes | None = None,
        data_coding: int = 0,
        udh: bytes = b"",
    ) -> None:
        """A message from a phone: `text` (GSM or UCS-2, whichever fits) or `octets` in a coding, behind a header."""
        assert (text is None) != (octets is None), "give either text or octets"
        body: Json = {"source": source, "destination": destination, "udh": udh.hex()}
        body |= {"text": text} if octets is None else {"octets": octets.hex(), "dcs": data_coding}
        await self._control("POST", "/mo", body)

    async def drop(self) -> int:
        """Cuts every bound connection at once. Gives how many."""
        answer: dict[str, int] = await self._control("POST", "/drop", {})
        return answer["dropped"]

    async def unbind(self) -> int:
        """Takes leave of every bound session, as a centre does before maintenance. Gives of how many."""
        answer: dict[str, int] = await self._control("POST", "/unbind", {})
        return answer["leaving"]

    async def binds(self) -> list[Json]:
        """The system_id, addr_ton, addr_npi and range of every bind so far."""
        found: list[Json] = await self._control("GET", "/binds")
        return found

    async def received(self, accepted: int, timeout_s: float = 20.0) -> list[Submitted]:
        """Waits until at least so many messages were accepted, and gives all that came."""

        async def enough() -> bool:
            return (await self.stats())["accepted"] >= accepted

        await eventually(enough, timeout_s, what=f"{accepted} accepted messages at the SMSC")
        return await self.messages()

    async def receipts_confirmed(self, count: int, timeout_s: float = 20.0) -> None:
        """Waits until the client answered at least so many receipts with deliver_sm_resp and status 0."""

        async def enough() -> bool:
            return (await self.stats())["receipts_answered"] >= count

        await eventually(enough, timeout_s, what=f"{count} confirmed receipts")

    async def _control(self, method: str, path: str, body: object = None) -> Any:
        url = f"http://{LOOPBACK}:{self.control_port}{path}"
        async with (
            aiohttp.ClientSession(timeout=_CONTROL_TIMEOUT) as session,
            session.request(method, url, json=body) as response,
        ):
            answer = await response.json()
            assert response.status == 200, f"{method} {path}: {answer}"
            return answer


def _submitted(row: Json) -> Submitted:
    """The control port's JSON, with octets for hex."""
    payload, sar = row["message_payload"], row["sar"]
    octets = {
        "short_message": bytes.fromhex(row["short_message"]),
        "message_payload": None if payload is None else bytes.fromhex(payload),
        "udh": bytes.fromhex(row["udh"]),
        "sar": None if sar is None else tuple(sar),
    }
    return Submitted(**{**row, **octets})

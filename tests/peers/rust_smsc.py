"""A second SMSC that no one here wrote: the server of the package `smpp34` (Rust), driven from the test's own event loop.

Its framing, sessions, timers and codec are its own, in threads of its own. What is written here is only what a carrier
decides: which message is taken, which is refused, and what the receipt says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import smpp34

from tests.peers.ports import LOOPBACK, free_port
from tests.peers.waiting import eventually

RECEIPT_WANTED = 0x01
"""registered_delivery: a receipt of any end (SMPP 3.4, 5.2.17)."""
RECEIPT = 0x04
"""esm_class of a receipt (5.2.12)."""

Decision = Callable[[int], int]
"""The command_status for the n-th message, counted from 1; 0 takes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A message as the library read it."""

    message_id: str
    source: str
    destination: str
    esm_class: int
    data_coding: int
    short_message: bytes
    tlvs: dict[int, bytes]


def _takes_all(_: int) -> int:
    return 0


class RustSmsc:
    """Runs while its block does: ``async with RustSmsc() as smsc``."""

    host = LOOPBACK

    def __init__(self, decide: Decision = _takes_all) -> None:
        self.port = free_port()
        self.taken: list[Taken] = []
        self.refused = Counter[int]()
        """How many messages got which command_status."""
        self.binds = 0
        self.unbinds = 0
        self.receipts = Counter[bool]()
        """How many receipts were confirmed (True) or refused (False)."""
        self._decide = decide
        self._submits = 0
        self._server = smpp34.Server(LOOPBACK, self.port, system_id="RUST")
        self._esmes: dict[str, smpp34.Esme] = {}
        self._serving: asyncio.Task[None] | None = None
        self._receipting: set[asyncio.Task[None]] = set()

    async def sent(self, count: int, within_s: float = 60.0) -> list[Taken]:
        """Waits until so many messages were taken."""
        await eventually(lambda: len(self.taken) >= count, within_s, what=f"{count} messages at the SMSC")
        return self.taken

    async def _serve(self) -> None:
        while True:
            event = await self._server.next()
            if isinstance(event, smpp34.Esme):
                self.binds += 1
                self._esmes[event.session_id] = event
            elif isinstance(event, smpp34.SubmitSmEvent):
                self._submitted(event)
            else:
                self.unbinds += 1
                self._esmes.pop(event.session_id, None)

    def _submitted(self, event: smpp34.SubmitSmEvent) -> None:
        self._submits += 1
        status = self._decide(self._submits)
        if status:
            self.refused[status] += 1
            event.reject(status)
            return
        message_id = f"{self._submits:08x}"
        self.taken.append(
            Taken(
                message_id=message_id, source=event.source_addr, destination=event.destination_addr,
                esm_class=event.esm_class, data_coding=event.data_coding, short_message=event.short_message,
                tlvs={tlv.tag: tlv.value for tlv in event.tlvs},
            )
        )  # fmt: skip
        event.accept(message_id)
        if event.registered_delivery & RECEIPT_WANTED:
            task = asyncio.get_running_loop().create_task(
                self._receipt(self._esmes[event.session_id], event, message_id)
            )
            self._receipting.add(task)
            task.add_done_callback(self._receipting.discard)

    async def _receipt(self, esme: smpp34.Esme, event: smpp34.SubmitSmEvent, message_id: str) -> None:
        text = (
            f"id:{message_id} sub:001 dlvrd:001 submit date:2611301200 done date:2611301200 stat:DELIVRD err:000 text:"
        )
        answer = await esme.deliver_sm(
            event.source_addr,
            text.encode(),
            source_addr=event.destination_addr,
            source_addr_ton=event.dest_addr_ton,
            source_addr_npi=event.dest_addr_npi,
            dest_addr_ton=event.source_addr_ton,
            dest_addr_npi=event.source_addr_npi,
            esm_class=RECEIPT,
        )
        self.receipts[answer.is_success] += 1

    async def __aenter__(self) -> Self:
        await self._server.start()
        self._serving = asyncio.create_task(self._serve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._serving is not None
        for task in (self._serving, *self._receipting):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._server.stop()

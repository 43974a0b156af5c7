"""The sound of a phone whose SIP is somebody else's: sockets that hear RTP and send it, from wherever a test wants it to come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

from ivr.rtp.packet import RtpPacket, parse_rtp, written
from tests.ivr.rtp.presses import Gateway, Press, Sent
from tests.peers.ports import LOOPBACK

FRAME_S = 0.02
HEARD_WITHIN_S = 60.0
PCMU = 0
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Half a minute of a call that nobody reads meanwhile."""


class RtpSocket:
    """One socket of a phone, a gateway or somebody else. `host` is any of this machine's loopback addresses."""

    def __init__(self, host: str = LOOPBACK, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.socket.bind((host, port))
        self.port: int = self.socket.getsockname()[1]
        self.far: tuple[str, int] | None = None
        """Where the other side sends from."""
        self.came: list[RtpPacket] = []
        self.ssrc = self.port
        self._sequence = 0
        self._timestamp = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    async def heard(self, count: int = 1) -> tuple[str, int]:
        """Waits for so many packets more; gives where they come from."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.socket, readable.set)  # no sock_recvfrom: uvloop has none
        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                while count > 0:
                    await readable.wait()
                    readable.clear()
                    count -= self._take()
        finally:
            loop.remove_reader(self.socket)
        assert self.far is not None
        return self.far

    def _take(self) -> int:
        """Takes what has come; how many packets."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                data, source = self.socket.recvfrom(2_048)
                packet = parse_rtp(data)
                if packet is not None:
                    self.came.append(packet)
                    self.far = source
                    count += 1
        return count

    def everything(self) -> list[RtpPacket]:
        """All packets until now."""
        self._take()
        return self.came

    def hush(self) -> int:
        """Drops what has come; how many packets."""
        count = self._take()
        self.came.clear()
        return count

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """One datagram."""
        self.socket.sendto(data, to)

    async def sends(self, sent: Sequence[Sent], to: tuple[str, int]) -> None:
        """All of these, each at its time."""
        began = asyncio.get_running_loop().time()
        for one in sent:
            await asyncio.sleep(max(0.0, began + one.at_s - asyncio.get_running_loop().time()))
            self.send(written(one.packet), to)

    async def presses(self, keys: str, to: tuple[str, int], gateway: Gateway | None = None) -> None:
        """Keys by telephone event, as a gateway of this kind sends them."""
        sends = (gateway or Gateway()).sends
        await self.sends(sends([Press(key=key, pause_ms=200) for key in keys]), to)

    async def says(self, frames: Sequence[bytes], to: tuple[str, int], payload_type: int = PCMU) -> None:
        """These frames, one every 20 ms."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for n, frame in enumerate(frames):
            await asyncio.sleep(max(0.0, began + n * FRAME_S - loop.time()))
            self.send(self.packet(frame, payload_type), to)

    def packet(self, frame: bytes, payload_type: int = PCMU) -> bytes:
        """The next packet of sound."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp += len(frame)
        return written(RtpPacket(payload_type, False, self._sequence, self._timestamp & 0xFFFFFFFF, self.ssrc, frame))

    @asynccontextmanager
    async def talking(self, to: tuple[str, int]) -> AsyncIterator[None]:
        """Sends silence all the time, as a phone with its microphone on."""
        task = asyncio.create_task(self.says([b"\xff" * 160] * 50 * 600, to))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

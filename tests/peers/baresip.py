"""baresip as a phone that answers by itself; its control port has it press keys, hang up and call."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.kamailio import Tls
from tests.peers.ports import LOOPBACK, free_port, free_ports, listens
from tests.peers.processes import ChildProcess, find_binary

MODULES = Path("/usr/lib/baresip/modules")
NUMBER = "+33612345678"
"""Calls to other numbers are refused."""
WITHIN_S = 30.0
RTP_PORTS = 20
QUIET_S = 60
"""What it sends: nothing to be heard."""

_CONFIG = """\
poll_method epoll
sip_listen {host}:{listen}
{shows}net_interface {host}
call_max_calls 4
call_local_timeout 60
audio_source aufile,{sound}
audio_player aubridge,nowhere
audio_alert aubridge,nowhere
rtp_ports {rtp}-{rtp_last}
rtp_timeout 0
module_path {modules}
module g711.so
module srtp.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
"""
_ACCOUNT = "<sip:{user}@{host}:{port};transport={transport}>;regint=0;answermode=auto;audio_codecs={codecs};{more}\n"


class Baresip:
    """One phone that answers at once. `dtmfmode`: rtpevent or info; `encrypted`: it wants SRTP, or no call. `tls`: what it shows
    to others where the transport is tls, and whom it believes."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        transport: str = "udp",
        codecs: str = "PCMU",
        dtmfmode: str = "rtpevent",
        encrypted: bool = False,
        tls: Tls | None = None,
    ) -> None:
        plain = port or free_ports(2)  # TLS is at the port behind it
        self.port = plain + 1 if transport == "tls" else plain
        self._control = free_port()
        rtp = free_ports(RTP_PORTS)
        self._folder = folder / f"baresip-{self.port}"
        self._folder.mkdir()
        pem = self._folder / "own.pem"
        if tls is not None:  # an empty file is one that it cannot read, and then it does not start
            pem.write_text(tls.key.read_text() + tls.certificate.read_text())
        shows = "" if tls is None else f"sip_certificate {pem}\nsip_cafile {pem}\n"
        sound = self._folder / "quiet.wav"
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 8_000, 0, "NONE", ""))
            file.writeframes(bytes(2 * 8_000 * QUIET_S))
        values: Mapping[str, Any] = {
            "host": LOOPBACK, "port": self.port, "listen": plain,
            "shows": shows, "control": self._control, "modules": MODULES, "rtp": rtp,
            "rtp_last": rtp + RTP_PORTS - 1, "user": NUMBER, "transport": transport, "sound": sound, "codecs": codecs,
            "more": f"dtmfmode={dtmfmode}" + (";mediaenc=srtp-mand" if encrypted else ""),
        }  # fmt: skip
        (self._folder / "config").write_text(_CONFIG.format(**values))
        (self._folder / "accounts").write_text(_ACCOUNT.format(**values))
        self._process = ChildProcess(
            [find_binary("baresip", "baresip-core"), "-f", self._folder, "-v"],
            name="baresip", cwd=self._folder, ready_line="baresip is ready", ready=lambda: listens(self._control),
        )  # fmt: skip
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._seen: list[str] = []

    async def happened(self, kind: str, within_s: float = WITHIN_S) -> dict[str, Any]:
        """Waits for an event of this type, such as CALL_ESTABLISHED. Raises AssertionError."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    found = await self._next()
                    if found.get("event") and found.get("type") == kind:
                        return found
        except TimeoutError:
            raise AssertionError(f"baresip: no {kind} but {self._seen}\n{self._process.output}") from None

    async def press(self, key: str) -> None:
        """A key of the call that is up."""
        await self._command("sndcode", key)

    async def hang_up(self) -> None:
        """Ends the call that is up."""
        await self._command("hangup")

    async def dial(self, uri: str) -> None:
        """Calls somebody."""
        await self._command("dial", uri)

    async def _command(self, name: str, params: str = "") -> None:
        assert self._writer is not None, "baresip was not started"
        body = json.dumps({"command": name, "params": params, "token": name}).encode()
        self._writer.write(b"%d:%s," % (len(body), body))
        await self._writer.drain()

    async def _next(self) -> dict[str, Any]:
        """The next message of the control port, a netstring."""
        assert self._reader is not None, "baresip was not started"
        length = (await self._reader.readuntil(b":"))[:-1]
        body = await self._reader.readexactly(int(length) + 1)
        found: dict[str, Any] = json.loads(body[:-1])
        self._seen.append(str(found.get("type") or found.get("data")))
        return found

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._process.start)
        self._reader, self._writer = await asyncio.open_connection(LOOPBACK, self._control)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        await asyncio.to_thread(self._process.kill)

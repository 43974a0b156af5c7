"""baresip as the caller, in the same scenario: what the same calls cost a good program in C with a thread for each. Bench only."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ivr.audio.prompts import Prompts
from ivr.audio.sound import join, write_wav
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.processes import ChildProcess, find_binary

MODULES = Path("/usr/lib/baresip/modules")
PROMPT_S = 90.0
"""Longer than a run: it hangs up at the end of the file."""


class Baresip:
    """baresip, told to call by its control port; it plays a prompt and hears keys."""

    def __init__(self, folder: Path) -> None:
        self.sip_port, self._control_port = free_port(), free_port()
        self.keys = 0
        self._buffer = b""
        self._control: socket.socket | None = None
        home = folder / "baresip"
        home.mkdir(exist_ok=True)
        prompt = home / "prompt.wav"
        said = Prompts().sound("alert_unreadable", "en")
        prompt.write_bytes(write_wav(join([said] * round(PROMPT_S / said.duration_s))))
        (home / "accounts").write_text(f"<sip:caller@{LOOPBACK}>;regint=0;audio_codecs=PCMU;dtmfmode=rtpevent\n")
        (home / "contacts").write_text("")
        (home / "config").write_text(
            "\n".join(
                [
                    "poll_method epoll", f"sip_listen {LOOPBACK}:{self.sip_port}", "call_max_calls 0", "call_local_timeout 600",
                    f"audio_source aufile,{prompt}", "audio_player aubridge,nil", "audio_alert aubridge,nil",
                    "rtp_ports 10000-19999", f"module_path {MODULES}", "module g711.so", "module aufile.so",
                    "module aubridge.so", "module_tmp account.so", "module_app menu.so", "module_app ctrl_tcp.so",
                    f"ctrl_tcp_listen {LOOPBACK}:{self._control_port}",
                ]
            )
            + "\n"
        )  # fmt: skip
        self._process = ChildProcess(
            [find_binary("baresip", "baresip-core"), "-f", home],
            name="baresip",
            ready_port=self._control_port,
            cwd=home,
        )

    def __enter__(self) -> Self:
        self._process.start()
        self._control = socket.create_connection((LOOPBACK, self._control_port), timeout=10)
        self._control.setblocking(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._control is not None:
            self._control.close()
        self._process.stop()

    def dial(self, port: int, count: int, every_s: float) -> None:
        """Calls so many numbers at the port."""
        for n in range(count):
            self._tell("dial", f"sip:{1_000 + n}@{LOOPBACK}:{port}")
            self.listen()
            time.sleep(every_s)

    def _tell(self, command: str, params: str) -> None:
        assert self._control is not None
        body = json.dumps({"command": command, "params": params, "token": params}).encode()
        self._control.setblocking(True)
        self._control.sendall(b"%d:%s," % (len(body), body))
        self._control.setblocking(False)

    def listen(self) -> list[dict[str, Any]]:
        """The events since the last time; keys are counted."""
        assert self._control is not None
        try:
            while chunk := self._control.recv(1 << 20):
                self._buffer += chunk
        except BlockingIOError:
            pass
        found = []
        while b":" in self._buffer:
            size, _, rest = self._buffer.partition(b":")
            if len(rest) <= int(size):
                break
            found.append(json.loads(rest[: int(size)]))
            self._buffer = rest[int(size) + 1 :]
        self.keys += sum(event.get("type") == "CALL_DTMF_START" for event in found)
        return found

    @property
    def cpu_s(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""Settings files of test installations: TOML made from the peers that run. What is asked of them is in the scenarios."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.peers.ports import free_ports

Table = dict[str, Any]


def smpp(name: str, port: int, **keys: Any) -> Table:
    """A provider that speaks SMPP to a peer on this machine."""
    table: Table = {"name": name, "channel": "sms", "kind": "smpp", "host": "127.0.0.1", "port": port}
    return table | {"system_id": "user", "password": "pw", "source": "ALERT", "window": 100} | keys


def smtp(name: str, port: int, **keys: Any) -> Table:
    """A provider that speaks SMTP to a peer on this machine."""
    table: Table = {"name": name, "channel": "email", "kind": "smtp", "host": "127.0.0.1", "port": port}
    return table | {"sender": "tocsin@example.org"} | keys


def sip(name: str, port: int, **keys: Any) -> Table:
    """A provider that calls over a SIP peer on this machine. The peer plays a script: nothing but calls goes to it."""
    first = free_ports(200)
    table: Table = {"name": name, "channel": "voice", "kind": "sip", "host": "127.0.0.1", "port": port}
    more = {
        "listen": "127.0.0.1:0", "username": "tocsin", "caller_id": "+33100000000", "options_s": 0,
        "wait_for_beep": False, "rtp_ports": f"{first}-{first + 199}", "max_calls": 40, "incoming_max": 10,
        "calls_per_s": 500, "call_max_s": 60,
    }  # fmt: skip
    return table | more | keys


def settings_text(providers: Sequence[Table], routes: Sequence[Table] = (), **sections: Any) -> str:
    """A settings file with these tables. Values are texts, numbers, truths or lists of them."""
    lines: list[str] = []
    lists = {name: section for name, section in sections.items() if isinstance(section, list)}
    for name, section in sections.items():
        if name not in lists:
            lines += [f"[{name}]", *_keys(section)]
    for heading, tables in (("providers", providers), ("routes", routes), *lists.items()):
        for table in tables:
            lines += [f"[[{heading}]]", *_keys(table)]
    return "\n".join(lines) + "\n"


def write_settings(path: Path, providers: Sequence[Table], routes: Sequence[Table] = (), **sections: Any) -> Path:
    """Writes the file and gives its path."""
    path.write_text(settings_text(providers, routes, **sections))
    return path


def _keys(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)  # JSON's single values are TOML's, null excepted

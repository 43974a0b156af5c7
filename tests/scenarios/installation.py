"""Settings files of test installations: TOML made from the peers that run. What is asked of them is in the scenarios."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Table = dict[str, Any]


def smpp(name: str, port: int, **keys: Any) -> Table:
    """A provider that speaks SMPP to a peer on this machine."""
    table: Table = {"name": name, "channel": "sms", "kind": "smpp", "host": "127.0.0.1", "port": port}
    return table | {"system_id": "user", "password": "pw", "source": "ALERT", "window": 100} | keys


def smtp(name: str, port: int, **keys: Any) -> Table:
    """A provider that speaks SMTP to a peer on this machine."""
    table: Table = {"name": name, "channel": "email", "kind": "smtp", "host": "127.0.0.1", "port": port}
    return table | {"sender": "tocsin@example.org"} | keys


def settings_text(providers: Sequence[Table], routes: Sequence[Table] = (), **sections: Mapping[str, Any]) -> str:
    """A settings file with these tables. Values are texts, numbers, truths or lists of them."""
    lines: list[str] = []
    for name, section in sections.items():
        lines += [f"[{name}]", *_keys(section)]
    for heading, tables in (("providers", providers), ("routes", routes)):
        for table in tables:
            lines += [f"[[{heading}]]", *_keys(table)]
    return "\n".join(lines) + "\n"


def write_settings(
    path: Path, providers: Sequence[Table], routes: Sequence[Table] = (), **sections: Mapping[str, Any]
) -> Path:
    """Writes the file and gives its path."""
    path.write_text(settings_text(providers, routes, **sections))
    return path


def _keys(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]  # JSON's values are TOML's, null excepted

"""Checks what the providers' own keys leave each other: two that listen on one address, of which the second would never start."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from channels.listening import Listening, Listens
from gateway.settings_problems import Examination


def check_neighbours(
    examination: Examination, providers: Mapping[int, BaseModel], api: Listening | None = None
) -> None:
    """Adds every provider that listens where the API or one before it does. `providers` are the settings of those that are right, by
    their place in the file."""
    taken: dict[tuple[str, int], list[tuple[str, Listening]]] = {}
    if api is not None:
        taken[api.protocol, api.port] = [("http.listen", api)]
    for n, settings in providers.items():
        ours = settings.listening if isinstance(settings, Listens) else None
        if ours is None:
            continue
        neighbours = taken.setdefault((ours.protocol, ours.port), [])
        first = next((m for m, other in neighbours if ours.clashes_with(other)), None)
        if first is None:
            neighbours.append((f"providers[{n}]", ours))
            continue
        text = f"{first} listens on {ours.protocol.upper()} port {ours.port} of this address already"
        examination.add(("providers", n, ours.key), text)

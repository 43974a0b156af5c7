"""Draws the delivery machine from its own table, for the documentation: a Mermaid diagram. Nothing at run time uses it."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.delivery import TRANSITIONS, State

_BEGIN, _END = "```mermaid\n", "```\n"


def delivery_diagram() -> str:
    """A Mermaid state diagram: one arrow for each pair of states, its events in alphabetical order below each other.

    Events that leave a delivery where it is are named in a note, since they are many and draw no arrow.
    """
    lines = ["stateDiagram-v2", "    [*] --> queued"]
    for state, arrows in TRANSITIONS.items():
        by_target: dict[State, list[str]] = {}
        for event, targets in arrows.items():
            for target in targets:
                by_target.setdefault(target, []).append(event.__name__)
        staying = by_target.pop(state, [])
        lines += [f"    {state} --> {to}: {_below(by_target[to])}" for to in State if to in by_target]
        if staying:
            lines += [f"    note right of {state}", "        stays: " + ", ".join(sorted(staying)), "    end note"]
        if not arrows:
            lines.append(f"    {state} --> [*]")
    return "".join(f"{line}\n" for line in lines)


def _below(names: list[str]) -> str:
    return "<br/>".join(sorted(names))


def redraw(page: str) -> str:
    """The page with its diagram drawn anew. Raises ValueError where it has none."""
    start = page.index(_BEGIN) + len(_BEGIN)
    return page[:start] + delivery_diagram() + page[page.index(_END, start) :]


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(redraw(path.read_text()))

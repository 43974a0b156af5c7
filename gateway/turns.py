"""Where long loops of pure code let others have their turn. How they do it is said elsewhere (`gateway.large_work`)."""

from __future__ import annotations

from collections.abc import Callable


def _at_once() -> None:
    """Nobody else waits."""


class _Turns:
    """How one gives way in this process."""

    def __init__(self) -> None:
        self.give_way: Callable[[], None] = _at_once


turns = _Turns()

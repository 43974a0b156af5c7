"""Runs a Python program with a wall clock that a file steps: ``python -m tests.proofs.stepped FILE PROGRAM ARGUMENTS``.

The file holds the seconds by which `time.time()` is off. Monotonic time is left alone, as a step of the system's clock
leaves it alone; setting the machine's own clock would disturb everything else on it.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

_real = time.time


def main() -> None:
    """Steps the clock and runs the program."""
    steps, program = Path(sys.argv[1]), sys.argv[2]

    def stepped() -> float:
        return _real() + float(steps.read_text() or 0)

    time.time = stepped
    sys.argv = sys.argv[2:]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()

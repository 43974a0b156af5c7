"""The one place where numpy is imported: with one thread, since ours are small arrays, many times a second."""

from __future__ import annotations

import os

# a pool of threads would spin between ticks: 157 % of a core for 1,000 calls instead of 31 %
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

__all__ = ["np"]

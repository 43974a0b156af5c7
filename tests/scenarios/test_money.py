"""Credit: nothing is sent that cannot be paid, nothing is paid twice, and the books say so."""

from __future__ import annotations

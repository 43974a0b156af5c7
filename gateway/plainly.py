"""Errors of the system and of drivers in the words of people: what happened, without numbers and names of modules. Pure."""

from __future__ import annotations

import os
import re

_NUMBERED = re.compile(r"\[Errno (-?\d+)\] [^\[]*")
_DRIVER = re.compile(r"^(?:<class '[^']*'>|\([\w.]+\)|[\w.]+(?:Error|Exception)): ")
_RESOLVER = ("Name or service not known", "nodename nor servname", "No address associated", "Temporary failure in name")
_HINTS = (
    ("Connection refused", "nobody listens there"),
    ("no such host", "is the name right?"),
    ("timed out", "is the address right, and does a firewall let us through?"),
    ("No route to host", "is the address right, and does a firewall let us through?"),
)
"""What a person would look at first."""


def plainly(error: BaseException | str) -> str:
    """What went wrong in a sentence: ``Connection refused: nobody listens there``."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    if any(word in text for word in _RESOLVER):
        text = "no such host"
    numbered = [int(number) for number in _NUMBERED.findall(text)]
    if numbered:
        text = " and ".join(dict.fromkeys(os.strerror(number) for number in numbered if number > 0)) or text
    text = " ".join(_DRIVER.sub("", text).split())
    if text in ("TimeoutError", ""):
        text = "timed out"
    hint = next((said for word, said in _HINTS if word in text), "")
    return f"{text}: {hint}" if hint else text

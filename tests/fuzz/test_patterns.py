"""Every regular expression that network input meets: long texts of one kind cost no square of their length, in any of them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Iterator

import pytest

PACKAGES = ("channels", "gateway", "ivr.sip", "ivr.rtp", "billing", "templates")
LENGTH = 3_000
MATCH_S_MAX = 0.05
"""Of the processor. They take microseconds; a square of the length takes this from some thousand characters on."""
TOKENS = (
    *"a01 \t\n\r-=_.;<>\"\\(@,:/%+*#[]\0\xff&", "a ", "0 ", "--", "a.", "0.", "; tag=", ";a=", "<a:", "<sip:", "\\\"", "a@", "a,",
    "a:", "%41", "fail", "delay", "mail ", "error message ", "5.1.1 ", "550 ", "=?a?q?b?=", "inline:", "a=b,", "SIP/2.0 ", "auto ",
    "copy of ", "--\n", "id:", "done date:", "x-", "\n ",
)  # fmt: skip
FRAMES = (("", "!"), ("a", "\n!"), ("<", "x"), ('"', "\0"))


SEARCHES = r"\b{}\.(?:search|findall|finditer|sub|split)\b"


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes], bool]]:
    """Those that are compiled once, each under the name of its first place; whether texts are searched for it there."""
    seen = set()
    for package in PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if ".migrations" in found.name or found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                for one in value if isinstance(value, tuple | list) else (value,):
                    if isinstance(one, re.Pattern) and one not in seen:
                        seen.add(one)
                        searched = re.search(SEARCHES.format(name), inspect.getsource(module)) is not None
                        yield f"{found.name}.{name}", one, searched or not isinstance(value, re.Pattern)


EVERY = tuple(patterns())


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: ascii("…".join(frame)))
def test_no_pattern_takes_the_square_of_a_text(frame: tuple[str, str]) -> None:
    before, behind = frame
    slow = []
    for name, pattern, searched in EVERY:
        for token in TOKENS:
            text = before + (token * LENGTH)[:LENGTH] + behind
            data = text.encode("latin-1") if isinstance(pattern.pattern, bytes) else text
            began = time.process_time()
            pattern.fullmatch(data)
            pattern.match(data)
            if searched:
                pattern.search(data)
            if time.process_time() - began > MATCH_S_MAX:
                slow.append((name, token, round(time.process_time() - began, 3)))
    assert slow == []

"""Keeps the text of API keys out of what is printed, answered and logged: somebody pastes one where an id belongs."""

from __future__ import annotations

import re
from typing import Any, Final

_TOKEN: Final = re.compile(r"tok_[A-Za-z0-9_-]{8,}")
MASK: Final = "tok_…"


def masked(text: str) -> str:
    """The text with the keys in it cut to what they begin with."""
    return _TOKEN.sub(MASK, text) if "tok_" in text else text


def masked_in(value: Any) -> Any:
    """The same for every text of a document, names of members too."""
    match value:
        case str():
            return masked(value)
        case dict():
            return {masked_in(key): masked_in(member) for key, member in value.items()}
        case list() | tuple():
            return [masked_in(member) for member in value]
    return value

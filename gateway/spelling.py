"""When the ids of an answer and of a receipt mean the same message: the form they are looked up by, and how far they may differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from channels.outcome import Spelling


class Named(Protocol):
    """What carries an id as its provider spelled it."""

    @property
    def provider_message_id(self) -> str: ...


N = TypeVar("N", bound=Named)


def normal_form(message_id: str) -> str:
    """The id in lower case and without leading zeros: two spellings of one id have the same, whatever the rule. "" stays."""
    return message_id.lower().lstrip("0") or message_id[:1]


def alike(read: str, answered: str, spelling: Spelling) -> bool:
    """Whether an id read from a receipt may mean the message that was answered under the other id."""
    match spelling:
        case Spelling.EXACT:
            return read == answered
        case Spelling.CASE:
            return read.lower() == answered.lower()
        case Spelling.ZEROS:
            return read.lstrip("0") == answered.lstrip("0")
        case Spelling.FORM | Spelling.LIKELY:
            return normal_form(read) == normal_form(answered)


def by_itself(read: str, answered: str, spelling: Spelling) -> bool:
    """Whether an id that is alike counts without the address: it is spelled the same, or the provider's rule is known."""
    return read == answered or spelling is not Spelling.LIKELY


def likest(found: Sequence[N], read: str) -> N:
    """The one that is spelled as it was read, else the first."""
    return next((one for one in found if one.provider_message_id == read), found[0])

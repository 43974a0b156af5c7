"""Tables of words, written so that a person who knows the language and no Python can read and mend them."""

from __future__ import annotations


def table(text: str) -> dict[str, str]:
    """Lines of `key, key = value`."""
    made: dict[str, str] = {}
    for line in text.strip().splitlines():
        keys, _, value = line.partition(" = ")
        made |= dict.fromkeys((key.strip() for key in keys.split(", ")), value.strip())
    return made


def sequence(text: str) -> tuple[str, ...]:
    """Words between blanks, in order."""
    return tuple(text.split())


def words(text: str) -> frozenset[str]:
    """Words between blanks."""
    return frozenset(text.split())


def spellings(text: str) -> dict[str, str]:
    """Lines of `name = spelling spelling`: the name of each spelling."""
    return {spelling: name for name, also in table(text).items() for spelling in also.split()}

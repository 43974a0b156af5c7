"""What others write is one printable line wherever people or logs see it: every character, every door."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner

from channels import outcome
from channels.outcome import (
    Accepted,
    Delivered,
    Inbound,
    InboundPart,
    LinkHealth,
    Reason,
    Receipt,
    ReceiptFailed,
    SentPart,
)
from channels.printable import UNSEEN, escaped, printable, visible
from gateway import logs
from gateway.cli.invocation import Invocation, print_json
from gateway.tracebacks import told

EVIL = {
    "a carriage return": "\r",
    "a line feed": "\n",
    "an escape": "\x1b[2J",
    "a bell": "\a",
    "a backspace": "\b",
    "delete": "\x7f",
    "C1's escape": "\x9b2J",
    "C1's line end": "\x85",
    "a line separator": "\u2028",
    "a paragraph separator": "\u2029",
    "an override of direction": "\u202e",
    "an isolate of direction": "\u2067",
    "a mark of direction": "\u200f",
    "a blank of no width": "\ufeff",
    "a soft hyphen": "\xad",
    "a tag": "\U000e0041",
    "a lone surrogate": "\udc9b",
    "a NUL": "\0",
    "what nothing is": "\uffff",
}


def harmless(text: str) -> bool:
    """Whether a terminal shows it as it is."""
    return all(one.isprintable() for one in text)


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_case_7_11_no_word_of_a_provider_moves_a_cursor(evil: str) -> None:
    words = f"id{evil}7{evil}"
    for value in (
        Reason(code=words, detail=words),
        SentPart(n=1, provider_message_id=words),
        Accepted(parts=(), code=words, detail=words),
        Delivered(at=datetime.now(UTC), code=words, detail=words),
        Inbound(source=words, destination=words, text="", provider_message_id=words),
        InboundPart(source=words, destination=words, reference=1, n=1, total=1, text=""),
        Receipt(
            provider_message_ids=(words,), result=ReceiptFailed(), code=words, detail=words, address=words, raw=words
        ),
        LinkHealth(up=False, detail=words, facts={"said": words}),
    ):
        assert "id" in str(value)
        for field in fields(value):
            told = getattr(value, field.name)
            texts = told if isinstance(told, tuple) else told.values() if isinstance(told, dict) else (told,)
            assert all(harmless(text) for text in texts if isinstance(text, str)), (value, field.name)


def test_every_value_that_a_provider_fills_is_in_the_table() -> None:
    """A new class with words in it has to become printable too."""
    worded = {
        name
        for name, value in vars(outcome).items()
        if hasattr(value, "__dataclass_fields__")
        and any(field.type in ("str", "tuple[str, ...]", "dict[str, str]") for field in fields(value))
    }
    assert worded - {"LateOutcome"} == {
        "Reason", "SentPart", "Accepted", "Delivered", "Inbound", "InboundPart", "Receipt", "LinkHealth",
    }  # fmt: skip


def shown(text: str) -> str:
    """As a command prints it."""

    @click.command()
    def command() -> None:
        Invocation().show({}, text)

    return CliRunner().invoke(command).stdout.removesuffix("\n")


def shown_as_json(text: str) -> str:
    """As a command with --json prints it."""

    @click.command()
    def command() -> None:
        print_json({"text": text})

    printed = CliRunner().invoke(command).stdout.removesuffix("\n")
    assert json.loads(printed) == {"text": text}
    return printed


def logged(form: logs.Format) -> Callable[[str], str]:
    """As a line of the log."""

    def line(text: str) -> str:
        stream = io.StringIO()
        logs.configure("info", form, to=stream)
        try:
            structlog.get_logger().warning("said", what=f"a{text}b", words=[text])
        finally:
            logs.configure()
        return stream.getvalue().removesuffix("\n")

    return line


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
@pytest.mark.parametrize(
    "door", [printable, visible, shown, shown_as_json, logged("text"), logged("json")],
    ids=["words", "ids", "a command", "a command's JSON", "the log", "the log's JSON"],
)  # fmt: skip
def test_case_7_11_whatever_is_shown_is_printable(door: Callable[[str], str], evil: str) -> None:
    seen = door(f"before{evil}after")
    assert harmless(seen), ascii(seen)
    assert "before" in seen
    assert "after" in seen


@pytest.mark.parametrize("evil", [one for name, one in EVIL.items() if "line" not in name and "carriage" not in name])
def test_an_exception_s_words_are_shown_like_others(evil: str) -> None:
    assert harmless(told(ValueError(f"before{evil}after")).replace("\n", ""))


def test_every_character_is_shown_as_it_is_or_not_at_all() -> None:
    for code in range(sys.maxunicode + 1):
        one = chr(code)
        if one in "\u200c\u200d":  # joiners spell Persian names and move nothing
            assert visible(one) == printable(one) == one
        elif not one.isprintable():
            assert visible(one) == UNSEEN
            assert printable(f"a{one}b") in (f"a{UNSEEN}b", "a b")


def test_names_and_words_in_any_script_stay_as_they_are() -> None:
    for text in (
        "Zoë Müller",
        "علی\u200cرضا",
        "שלום",
        "消防",
        "👩\u200d🚒",
        "+33 6 12 34 56 78",
        "550 5.1.1 <a@b> “no”",
    ):
        assert printable(text) == visible(text) == escaped(text) == text


def test_words_are_one_bounded_line() -> None:
    text = printable("a\r\n  b\0\x1b[31m\udcff" + "x" * 1000)
    assert text.startswith("a b??[31m?x")
    assert len(text) == 500


def test_json_is_the_same_document() -> None:
    document: dict[str, Any] = {"a": "".join(EVIL.values()), "b": ["é", "\U000e0041"]}
    assert json.loads(escaped(json.dumps(document, ensure_ascii=False))) == document

"""The catalog finds the nearest language, then the channel; and the templates that come with Tocsin are whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from channels.sms.encoding import Alphabet, segment
from templates.catalog import OWN, Catalog, languages_of
from templates.render import Template, TemplateError

LANGUAGES = sorted(folder.name for folder in OWN.iterdir())


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(path: str, text: str | bytes = "text", folder: str = "own") -> Path:
        file = tmp_path / folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / folder

    return write


@pytest.mark.parametrize(
    ("tag", "tried"),
    [
        ("fr-CA", ["fr-ca", "fr", "en"]),
        ("zh-Hant-TW", ["zh-hant-tw", "zh-hant", "zh", "en"]),
        ("", ["en"]),
        ("en", ["en", "en"]),
    ],
)
def test_languages_fall_back_to_their_parents_and_english(tag: str, tried: list[str]) -> None:
    assert list(languages_of(tag)) == tried


@pytest.mark.parametrize(
    ("language", "channel", "found"),
    [
        ("fr-CA", "sms", "fr.text"),  # the reader's language counts for more than the channel's own template
        ("fr-CA", "email", "fr-ca.email"),
        ("fr", "email", "fr.text"),
        ("de", "email", "en.email"),
        ("", "voice", "en.text"),
        ("en", "text", "en.text"),
        ("en", "subject", None),
        ("fr", "subject", "fr.subject"),
        ("-", "text", "en.text"),
        ("../../etc", "text", "en.text"),
    ],
)
def test_the_nearest_template_is_found(
    write: Callable[..., Path], language: str, channel: str, found: str | None
) -> None:
    for path in ("en/a.text", "en/a.email", "fr/a.text", "fr/a.subject", "fr-CA/a.email"):
        folder = write(f"{path}.j2", path.lower().replace("/a", ""))
    template = Catalog([folder]).find("a", language, channel)
    assert (template and template.render({})) == found


def test_an_earlier_folder_hides_the_same_file_of_a_later_one(write: Callable[..., Path]) -> None:
    write("en/test.text.j2", "ours", folder="site")
    catalog = Catalog([write("en/own.text.j2", "only here", folder="site"), OWN])
    assert {"own", "alert", "test"} <= set(catalog.names)
    test, own = catalog.find("test", "en"), catalog.find("own", "fr")
    assert test is not None
    assert own is not None
    assert (test.render({}), own.render({})) == ("ours", "only here")
    assert catalog.find("nothing", "en") is None


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("en/No.text.j2", "", "expected LANGUAGE/NAME.CHANNEL.j2"),
        ("en/test.j2", "", "expected LANGUAGE/NAME.CHANNEL.j2"),
        ("english/test.text.j2", "", "expected LANGUAGE/NAME.CHANNEL.j2"),
        ("en/a.text.j2", b"\xff", "expected UTF-8"),
        ("en/a.text.j2", "x" * 30_000, "at most 20000 characters"),
        ("en/a.text.j2", "{% set a = 1 %}", "a: line 1: assign is not available"),
    ],
)
def test_a_folder_with_something_wrong_is_refused(
    write: Callable[..., Path], path: str, text: str | bytes, told: str
) -> None:
    with pytest.raises(TemplateError, match=told):
        Catalog([write(path, text)])


def test_every_language_has_every_template_with_the_same_variables() -> None:
    has: dict[str, dict[str, frozenset[str]]] = {language: {} for language in LANGUAGES}
    for template in Catalog():
        has[template.language][f"{template.name}.{template.channel}"] = template.variables
    assert set(LANGUAGES) >= {"en", "fr"}
    for language in LANGUAGES:
        assert has[language] == has["en"]


VALUES = {
    "exercise": True, "sensitive": True, "text": "", "subject": "", "headline": "", "id": "alt_01", "reference": "",
    "priority": "high", "source": "api", "time": "", "firing": 2, "title": "", "summary": "", "description": "",
    "labels": [], "members": ["x"], "more": 2, "note": "", "system": "", "start": "", "end": "", "details": "",
}  # fmt: skip


@pytest.mark.parametrize(
    "template", [one for one in Catalog() if one.channel == "text"], ids=lambda one: f"{one.language}-{one.name}"
)
def test_texts_stay_within_the_gsm_alphabet(template: Template) -> None:
    """One letter outside of it would make a text of 160 characters three SMS."""
    text = template.render(VALUES)
    assert segment(text).alphabet is Alphabet.GSM7, text

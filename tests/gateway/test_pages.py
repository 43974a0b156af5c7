"""The pages for people, without a server: what they say of the document, their headings, links and colours."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway.api.pages.reference import CHECK, kind_of, reference
from gateway.api.pages.router import FILES, rendered, sentence, ticks, wants_json
from gateway.api.problems import KINDS
from gateway.api.roles import Permission
from tests.gateway.api_document import DOCUMENT
from tests.gateway.test_api_docs import PAGE

FOLDER = Path(__file__).parents[2] / "gateway/api/pages"
URL = "http://127.0.0.1:8080"
TOLD = reference(DOCUMENT, URL)
FORBIDDEN = KINDS["forbidden"]
PAGES = {
    "docs": rendered("docs.html.j2", up="", **TOLD).decode(),
    "ready": rendered("root.html.j2", up="", version="1.2.3", ready=True).decode(),
    "not ready": rendered("root.html.j2", up="", version="1.2.3", ready=False).decode(),
    "problem": rendered(
        "problem.html.j2",
        up="../",
        name="forbidden",
        title=FORBIDDEN.title,
        status=403,
        meaning=FORBIDDEN.meaning,
        operations=[],
    ).decode(),
}


class Outline(HTMLParser):
    """What of a page matters here: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> ends something else"

    def handle_data(self, data: str) -> None:
        self.text += data


OUTLINES = {name: Outline(page) for name, page in PAGES.items()}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_whole_and_can_be_read_aloud(name: str) -> None:
    outline = OUTLINES[name]
    assert not outline.open
    assert dict(outline.tags)["html"] == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), "a level is left out"
    assert [tag for tag, _ in outline.tags].count("main") == 1
    assert all("alt" in told for tag, told in outline.tags if tag == "img")
    assert all("scope" in told for tag, told in outline.tags if tag == "th")


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_runs_nothing_and_loads_nothing_from_elsewhere(name: str) -> None:
    for tag, told in OUTLINES[name].tags:
        assert tag not in ("script", "style", "iframe", "object", "form", "base"), tag
        assert not any(attribute == "style" or attribute.startswith("on") for attribute in told), told
        for link in (told.get("src"), told.get("href")):
            assert link is None or not re.match(r"[a-z]+:|//", link), link
    css = (FOLDER / "tocsin.css").read_text()
    assert "url(" not in css
    assert "@import" not in css


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_anchor_is_there_once(name: str) -> None:
    tags = OUTLINES[name].tags
    ids = [told["id"] for _, told in tags if "id" in told]
    assert len(ids) == len(set(ids))
    wanted = {told["href"][1:] for _, told in tags if told.get("href", "").startswith("#")}
    wanted |= {told["aria-labelledby"] for _, told in tags if "aria-labelledby" in told}
    assert wanted <= set(ids)


def test_the_page_tells_every_route_field_role_and_problem() -> None:
    page = OUTLINES["docs"]
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()}{path}" in page.text
            assert operation["summary"] in page.text
    for schema in ("AlertRequest", "AccountView", "EntryView", "TariffIn", "SentLine", "Problem"):
        if schema == "Problem":
            continue
        for member in DOCUMENT["components"]["schemas"][schema]["properties"].values():
            assert member["description"].replace("`", "")[1:60] in page.text, member
    links = {told.get("href") for _, told in page.tags}
    assert {f"problems/{name}" for name in KINDS} <= links
    for permission in Permission:
        assert str(permission)[1:] in page.text


def test_examples_are_commands_that_a_shell_takes() -> None:
    told = {one["anchor"]: one["curl"] for tag in TOLD["tags"] for one in tag["operations"]}
    assert told["live"] == f"curl {URL}/health/live"
    assert told["revoke_key"].startswith(
        f'curl -X DELETE {URL}/v1/keys/KEY_ID \\\n  -H "Authorization: Bearer $TOCSIN_KEY"'
    )
    assert '"amount": "50.00"' in told["top_up"]
    assert "--json '" in told["submit_alert"]


def test_the_check_of_a_signature_is_the_one_of_the_docs() -> None:
    assert re.findall(r"```python\n(.*?)```", PAGE, re.S)[0] == CHECK


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "minLength": 1, "maxLength": 200}, "text, 1 to 200 characters"),
        ({"type": "string", "maxLength": 1000}, "text, at most 1,000 characters"),
        ({"type": "string", "minLength": 1}, "text, at least 1 character"),
        ({"type": "integer", "minimum": 0, "maximum": 100, "default": 0}, "whole number, by default 0, 0 to 100"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "time or null"),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 5}, "list of whole number, at most 5 items"),
        ({"enum": ["a", "b"], "default": "a"}, 'one of "a", "b", by default "a"'),
        ({"type": "boolean", "default": False}, "true or false, by default false"),
        ({}, "anything"),
    ],
)
def test_a_kind_is_told_in_words(schema: dict[str, object], words: str) -> None:
    assert kind_of(schema, {}) == words


def test_what_a_text_holds_is_never_markup() -> None:
    assert str(ticks("<b> & `a<b`")) == "&lt;b&gt; &amp; <code>a&lt;b</code>"
    assert sentence("the id") == "The id."
    assert sentence("`x` is") == "`x` is."


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("", False), ("*/*", False), ("text/html", False), ("application/json", True), ("application/json, */*;q=0.1", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False), ("application/json;q=0.5, text/html", False),
        ("text/html;q=0.5, application/json", True), ("text/html, application/json", False), ("application/problem+json", True),
        ("application/json, text/plain, */*", True), ("text/html;q=0, */*", True), ("image/png", False), ("APPLICATION/JSON", True),
        (";;;,,q=;", False), ("application/json;q=nan", True),
    ],
)  # fmt: skip
def test_json_is_for_whoever_asks_for_it(accept: str, json: bool) -> None:
    assert wants_json(accept) is json


# --- colours -----------------------------------------------------------------------------------------------------------


def palettes() -> list[dict[str, str]]:
    """The colours by day and by night."""
    css = (FOLDER / "tocsin.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    assert len(blocks) == 2
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


def brightness(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio: text needs 4.5."""
    bright, dark = sorted((brightness(one), brightness(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", palettes())
def test_every_text_can_be_read(palette: dict[str, str]) -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    for ground in ("ground", "raised", "code"):
        for text in ("text", "soft", "link", "accent", "good", "bad"):
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)


def test_every_file_of_a_page_is_there() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix in (".css", ".svg")} == set(FILES)

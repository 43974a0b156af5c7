"""The words of the project against the project: links, commands, snippets, metrics and alarms. Style is not judged here."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from gateway.app import PROVIDER_KINDS
from gateway.cli.root import tocsin
from gateway.settings import Settings
from gateway.settings_loading import load

yaml: Any = importlib.import_module("yaml")  # it ships no types

ROOT = Path(__file__).parents[1]
SOURCES = ("gateway", "channels", "billing", "templates", "ivr")
METRIC_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
PROCESS_METRICS = re.compile(r"(process|python)_[a-z_]+|up")  # of prometheus_client and of Prometheus itself
FORBIDDEN = re.compile(
    r"/[w]ork/|/[t]mp/|/[r]oot/|[p]ypi|[n]pmjs|[r]egistry\.|docker\.[i]o|gh[c]r\.io|[q]uay\.io", re.I
)
_LINK = re.compile(r"(?<!!)\[[^\]\[]*\]\(([^()\s]+)\)")
_FENCE = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", re.M | re.S)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_PATH = re.compile(r"(?:gateway|channels|billing|templates|ivr|tests|deploy|docs|requirements)/[\w./-]*\.[a-z]+")


def _pages() -> list[Path]:
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "deploy", *SOURCES):
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


PAGES = _pages()
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Snippet:
    """A fenced block of one page."""

    page: Path
    language: str
    text: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _snippets(page: Path) -> Iterator[Snippet]:
    text = page.read_text()
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        lines = [each.removeprefix(match[1]) for each in match[3].splitlines()]
        yield Snippet(page=page, language=match[2], text="\n".join(lines) + "\n", line=line)


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def _slug(heading: str) -> str:
    """The anchor that renderers of Markdown give to a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_slug(heading) for heading in _HEADING.findall(_prose(page))}


# --- links and names -------------------------------------------------------------------------------------------------


@EVERY_PAGE
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_prose(page)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in _anchors(there)):
            broken.append(target)
    assert not broken


@EVERY_PAGE
def test_files_that_are_named_exist(page: Path) -> None:
    named = {path for code in _INLINE.findall(_prose(page)) for path in _PATH.findall(code)}
    assert not [path for path in named if not list(ROOT.glob(path)) and not list(page.parent.glob(path))]


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in _LINK.findall(index.read_text())}
    assert not [page for page in (ROOT / "docs").rglob("*.md") if page != index and page.resolve() not in linked]


@pytest.mark.parametrize(
    "path",
    [*PAGES, *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix != ".md"),
     *sorted((ROOT / "requirements").iterdir()), ROOT / "NOTICE", ROOT / "pyproject.toml"],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_no_place_of_one_machine_and_no_package_host(path: Path) -> None:
    found = [line for line in path.read_text().splitlines() if FORBIDDEN.search(line)]
    assert not found


# --- commands --------------------------------------------------------------------------------------------------------


def _command_lines(page: Path) -> Iterator[str]:
    """Every `tocsin …` on the page that stands for a whole command: in shell blocks, and in the prose as code."""
    for snippet in _snippets(page):
        if snippet.language in ("sh", "console", "bash"):
            yield from snippet.text.replace("\\\n", " ").splitlines()
    yield from _INLINE.findall(_prose(page))


def _tocsin_words(line: str) -> list[str] | None:
    """The words after `tocsin` of a command line; None for other commands and for sketches with … or |."""
    start = re.match(r"(?:[$#] )?(?:[\w./-]*/)?tocsin +(?=[a-z-])", line.strip())
    if start is None:
        return None
    rest = line.strip()[start.end() :]
    try:
        words = shlex.split(rest, comments=True)
    except ValueError:
        return None
    end = next((n for n, word in enumerate(words) if word in {"|", "&&", ">", ";", "&"}), len(words))
    return None if any("…" in word or "|" in word for word in words[:end]) else words[:end]


def _complaint(words: list[str]) -> str | None:
    """What is wrong with a command line: no such command, or no such option."""
    command: click.Command = tocsin
    context = click.Context(tocsin, info_name="tocsin")
    options = {name for parameter in tocsin.get_params(context) for name in parameter.opts}
    named = ["tocsin"]
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-") and len(named) < 3:
            found = command.get_command(context, word)
            if found is None:
                return f"{' '.join(named)} has no command {word}"
            command, context = found, click.Context(found, info_name=word, parent=context)
            named.append(word)
            options |= {
                name for parameter in found.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)
            }
        elif word.startswith("--") and word.partition("=")[0] not in options:
            return f"{' '.join(named)} has no option {word}"
    return None


@EVERY_PAGE
def test_commands_exist(page: Path) -> None:
    shown = [words for line in _command_lines(page) if (words := _tocsin_words(line)) is not None]
    complaints = [f"{shlex.join(words)}: {complaint}" for words in shown if (complaint := _complaint(words))]
    assert not complaints


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        shown = [line.strip() for line in _command_lines(page)]
        named = {match[1] for line in shown if (match := re.match(r"make ([a-z]+)\b", line))}
        assert named <= targets, page


# --- snippets --------------------------------------------------------------------------------------------------------

SNIPPETS = [snippet for page in PAGES for snippet in _snippets(page)]


def _parse(snippet: Snippet) -> None:
    match snippet.language:
        case "python":
            ast.parse(snippet.text)
        case "toml":
            tomllib.loads(snippet.text)
        case "json":
            json.loads(snippet.text)
        case "yaml":
            yaml.safe_load(snippet.text)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.place)
def test_snippets_parse(snippet: Snippet) -> None:
    _parse(snippet)


class _AnyEnvironment(dict[str, str]):
    """An environment in which every variable that a snippet names is set, to what fits its name."""

    def __missing__(self, name: str) -> str:
        return "postgresql://tocsin:secret@127.0.0.1/tocsin" if name.endswith("STORE_URL") else "secret"

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]

    def __contains__(self, name: object) -> bool:
        return True


STUBS = {"sms": 'kind = "smpp"\nsystem_id = "x"\npassword = "x"', "email": 'kind = "smtp"\nsender = "a@b.example"'}


def _whole(text: str) -> str:
    """The settings with the providers that a snippet relies on and leaves out."""
    raw = tomllib.loads(text)
    providers, routes = raw.get("providers", []), raw.get("routes", [])
    known = {provider.get("name") for provider in providers}
    wanted = {name: route["channel"] for route in routes for name in route["providers"] if name not in known}
    served = {provider.get("channel") for provider in providers} | set(wanted.values())
    addressed = set(re.findall(rf'"({"|".join(STUBS)}):', text))
    wanted |= {f"some-{channel}": channel for channel in addressed - served}
    for name, channel in wanted.items():
        text += f'\n[[providers]]\nname = "{name}"\nchannel = "{channel}"\nhost = "127.0.0.1"\n{STUBS[channel]}\n'
    return text


def _secret_files(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("file"), str):
            yield value["file"]
        for each in value.values():
            yield from _secret_files(each)
    elif isinstance(value, list):
        for each in value:
            yield from _secret_files(each)


def _is_settings(text: str) -> bool:
    keys = set(tomllib.loads(text))
    return bool(keys) and keys <= set(Settings.model_fields)


FILES_OF_READERS = {
    r"/etc/tocsin/voices/\w+\.onnx": str(ROOT / "tests" / "vectors" / "piper" / "tone.onnx"),
    r"/usr/local/bin/speak": sys.executable,
}
"""Files that the pages name and the settings look at, and what stands for them here."""


def _assert_accepted(text: str, folder: Path) -> None:
    for named, ours in FILES_OF_READERS.items():
        text = re.sub(named, ours, text)
    for name in _secret_files(tomllib.loads(text)):
        if not Path(name).is_absolute():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("secret\n")
    file = folder / "tocsin.toml"
    file.write_text(_whole(text))
    load(file, PROVIDER_KINDS, _AnyEnvironment())


@pytest.mark.parametrize(
    "snippet",
    [snippet for snippet in SNIPPETS if snippet.language == "toml" and _is_settings(snippet.text)],
    ids=lambda snippet: snippet.place,
)
def test_settings_that_are_shown_are_accepted(snippet: Snippet, tmp_path: Path) -> None:
    _assert_accepted(snippet.text, tmp_path)


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").rglob("*.toml")), ids=lambda file: file.name)
def test_settings_that_are_delivered_are_accepted(file: Path, tmp_path: Path) -> None:
    _assert_accepted(file.read_text(), tmp_path)


# --- metrics and alarms ----------------------------------------------------------------------------------------------


def _metrics() -> Iterator[tuple[str, str]]:
    """(kind, name) of every metric that the code makes."""
    for folder in SOURCES:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                    kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    name = node.args[0].value
                    if isinstance(name, str) and name.startswith("tocsin_"):
                        yield kind, name


@functools.cache
def _series() -> set[str]:
    """The names under which Prometheus knows the metrics."""
    found = set()
    for kind, name in _metrics():
        kind = kind.removesuffix("MetricFamily").lower()  # the class, or a function of ours that makes one
        if kind == "counter":
            found.add(f"{name.removesuffix('_total')}_total")
        found.update(f"{name}{suffix}" for suffix in METRIC_SUFFIXES.get(kind, ()))
        if kind == "gauge":
            found.add(name)
    return found


def _alarms() -> list[dict[str, Any]]:
    rules = yaml.safe_load((ROOT / "deploy" / "alert-rules.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("alarm", _alarms(), ids=lambda alarm: str(alarm["alert"]))
def test_alarms_use_metrics_that_exist_and_are_in_the_runbook(alarm: dict[str, Any]) -> None:
    named = set(re.findall(r"\b(?:tocsin|process|python)_[a-z_]+", alarm["expr"]))
    assert not {name for name in named if name not in _series() and not PROCESS_METRICS.fullmatch(name)}
    page, _, anchor = alarm["annotations"]["runbook"].partition("#")
    assert anchor == _slug(alarm["alert"])
    assert anchor in _anchors(ROOT / page)


def test_every_metric_is_explained() -> None:
    text = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    names = {name for _, name in _metrics()}
    assert names
    assert not {name for name in names if name not in text}
    assert not {name for name in re.findall(r"\btocsin_[a-z_]+", text) if name not in names | _series()}


# --- the channels ----------------------------------------------------------------------------------------------------

CHANNEL_PAGES = {
    "sms": "first-sms-provider.md",
    "email": "email-with-bounces.md",
    "voice": "first-voice-provider.md",
}


@pytest.mark.parametrize("channel", sorted(path.parent.name for path in (ROOT / "channels").glob("*/channel.py")))
def test_every_channel_says_how_to_acknowledge_or_that_nobody_can(channel: str) -> None:
    """And what to do instead, on its own page and on that of whoever is on call."""
    can = re.findall(r"acknowledges=(True|False)", (ROOT / "channels" / channel / "channel.py").read_text()) == ["True"]
    page = (ROOT / "docs" / "how-to" / CHANNEL_PAGES[channel]).read_text()
    assert ("cannot acknowledge by it" in page) is not can
    ways = ("(on-call.md", "#10-take-calls", "voice address", "../reference/api.md")
    assert can or all(way in page for way in ways)
    on_call = (ROOT / "docs" / "how-to" / "on-call.md").read_text()
    assert {"sms": "a text message", "email": "a mail", "voice": "a call"}[channel] in on_call


# --- the rest --------------------------------------------------------------------------------------------------------


def test_the_changelog_begins_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    first = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert first is not None
    assert first[1] == version


def test_the_notice_names_what_is_installed() -> None:
    notice = {name.lower().replace("_", "-") for name in re.findall(r"[\w.-]+", (ROOT / "NOTICE").read_text())}
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "runtime.txt").read_text(), re.M)
    assert not [name for name in locked if name.lower().replace("_", "-") not in notice]


def test_the_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_images_name_no_host() -> None:
    dockerfile = re.findall(r"^FROM (\S+)", (ROOT / "deploy" / "Dockerfile").read_text(), re.M)
    composed = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"].values()
    assert not [image for image in [*dockerfile, *(each["image"] for each in composed)] if "/" in image]


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(page.name[:4]) for page in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))

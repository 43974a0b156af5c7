"""What Prometheus has to find at 0 before it happens for the first time: `increase()` of what appears at 1 is 0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # ships no types
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.dispatcher import OUTCOMES
from gateway.local_access import read
from tests.gateway.cli_desk import terminal_in
from tests.peers.ports import free_port

ROOT = Path(__file__).parents[2]
MORE = """
[[providers]]
name = "pbx"
channel = "voice"
kind = "sip"
host = "127.0.0.1"
port = {sip}
listen = "127.0.0.1:0"
[[providers]]
name = "mail"
channel = "email"
kind = "smtp"
host = "127.0.0.1"
port = 1
tls = "none"
sender = "alerts@example.org"
bounce_listen = "127.0.0.1:0"
"""
PROVIDERS = {"carrier", "pbx", "mail"}
UNKNOWN_BEFORE = {"tocsin_calls": "a word of a dialogue, or a status that any other side may choose"}
"""Counters whose labels nobody can list, and why."""
SELECTOR = re.compile(r"(tocsin_[a-z_]+_total)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')

Selected = tuple[str, tuple[tuple[str, str, str], ...]]


def selected() -> Iterator[Selected]:
    """Every counter of the rules with its matchers; a matcher that lists words is one for each of them."""
    rules = yaml.safe_load((ROOT / "deploy" / "alert-rules.yml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        for name, written in SELECTOR.findall(rule["expr"]):
            matchers = [one for one in MATCHER.findall(written) if one[0] != "job"]
            listed = [(label, words.split("|")) for label, how, words in matchers if how == "=~"]
            assert len(listed) <= 1, "one list of words can be taken apart"
            for label, words in listed or [("", [""])]:
                for word in words:
                    yield name, tuple((a, how, word if a == label else value) for a, how, value in matchers)


def matches(labels: Mapping[str, str], matchers: tuple[tuple[str, str, str], ...]) -> bool:
    """As Prometheus does it."""
    for label, how, value in matchers:
        found = labels.get(label, "")
        if not (re.fullmatch(value, found) if how == "=~" else (found == value) is (how == "=")):
            return False
    return True


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    """The metrics of a server of its own that has just started, with a provider of every kind."""
    folder = tmp_path_factory.mktemp("started")
    with terminal_in(folder, None) as terminal:  # type: ignore[arg-type]  # it runs nothing that prints here
        text = terminal.config.read_text() + MORE.format(sip=free_port())
        terminal.config.write_text(text)
        with terminal.server():
            access = read(folder / "tocsin.db.admin")
            assert access is not None
            answer = httpx.get(f"{access.url}/metrics", trust_env=False)
    return list(text_string_to_metric_families(answer.text))


def test_every_counter_of_the_alarms_is_there_at_0(families: list[Metric]) -> None:
    samples = [sample for family in families for sample in family.samples]
    wanted = list(selected())
    assert len(wanted) > 10
    for name, matchers in wanted:
        found = [one for one in samples if one.name == name and matches(one.labels, matchers)]
        assert found, (name, matchers)
        assert {one.value for one in found} == {0.0}, (name, matchers)
        if "provider" in found[0].labels:
            assert {one.labels["provider"] for one in found} == PROVIDERS, (name, matchers)


def test_every_labelled_counter_is_there_from_the_start(families: list[Metric]) -> None:
    counters = [family for family in families if family.type == "counter" and family.name.startswith("tocsin_")]
    assert len(counters) > 20
    assert {family.name for family in counters if not family.samples} == UNKNOWN_BEFORE.keys()
    attempts = next(family for family in counters if family.name == "tocsin_attempts")
    assert {sample.labels["outcome"] for sample in attempts.samples} == set(OUTCOMES)

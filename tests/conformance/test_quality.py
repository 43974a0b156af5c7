"""Every channel's QUALITY.yaml against the rules in docs/reference/channel-quality.md. The rules themselves are tested elsewhere."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

yaml: Any = importlib.import_module("yaml")  # it ships no types

ROOT = Path(__file__).parents[2]
RULES_PAGE = ROOT / "docs" / "reference" / "channel-quality.md"
PACKAGES = sorted(path.parent for path in (ROOT / "channels").glob("*/channel.py"))
GROUNDS = {"done": "proof", "todo": "why", "exempt": "why"}
"""What each status is given with."""
REASON_CHARACTERS_MIN = 40  # less is a label, no reason

EVERY_CHANNEL = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.name))


def rules() -> list[str]:
    """The rules of the page, in its order."""
    return re.findall(r"^\| `([a-z-]+)` \| \S", RULES_PAGE.read_text(), re.M)


def answers(package: Path) -> dict[str, dict[str, Any]]:
    """What a channel answers to each rule."""
    read: dict[str, dict[str, Any]] = yaml.safe_load((package / "QUALITY.yaml").read_text())
    return read


def test_there_are_rules_and_channels() -> None:
    assert len(rules()) == len(set(rules())) >= 10
    assert {"sms", "email"} <= {package.name for package in PACKAGES}


@EVERY_CHANNEL
def test_every_rule_is_answered_in_order_and_no_other(package: Path) -> None:
    assert list(answers(package)) == rules()


@EVERY_CHANNEL
def test_every_answer_has_its_grounds(package: Path) -> None:
    for rule, answer in answers(package).items():
        assert answer["status"] in GROUNDS, rule
        assert set(answer) == {"status", GROUNDS[answer["status"]]}, rule


@EVERY_CHANNEL
def test_what_is_not_done_has_a_reason(package: Path) -> None:
    for rule, answer in answers(package).items():
        if answer["status"] != "done":
            assert isinstance(answer["why"], str), rule
            assert len(answer["why"]) >= REASON_CHARACTERS_MIN, rule


@EVERY_CHANNEL
def test_what_is_done_has_proofs_that_exist(package: Path) -> None:
    for rule, answer in answers(package).items():
        if answer["status"] == "done":
            assert answer["proof"], rule
            assert not [proof for proof in answer["proof"] if not (ROOT / proof).is_file()], rule
    assert answers(package)["conformance"]["status"] == "done"

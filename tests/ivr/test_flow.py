"""Call flows: the shipped ones are right, and every mistake is told with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr.audio.prompts import Prompts
from ivr.flow import (
    DIGITS_MAX,
    FILE_BYTES_MAX,
    KINDS,
    SAID_MAX,
    SECONDS_MAX,
    STATES_MAX,
    VISITS_MAX,
    Flow,
    FlowError,
    parse_flow,
    recording_for,
)

SHIPPED = Path(__file__).parents[2] / "ivr" / "flows"
PROMPTS = frozenset({"hello", "bye"})

RIGHT = """
kind = "alert"
start = "tell"

[states.tell]
say = ["hello", "$text"]
keys = { 1 = "acknowledge" }
silence_s = 5
silence = "tell"
wrong = "tell"
visits_max = 3
exhausted = "end"

[states.acknowledge]
do = "acknowledge"
then = { recorded = "end", elsewhere = "end", over = "end", failed = "end" }

[states.end]
say = ["bye"]
hang_up = "done"
"""
DIGITS = """
kind = "alert"
start = "ask"

[states.ask]
digits = { min = 4, max = 6, end = "#", silence_s = 5 }
do = "check_pin"
then = { ok = "end", wrong = "end", locked = "end", failed = "end" }
silence = "end"

[states.end]
hang_up = "done"
"""
RECORDED = """
kind = "alarm"
start = "listen"

[states.listen]
record_s = 30
do = "attach"
then = { attached = "end", failed = "end" }

[states.end]
hang_up = "done"
"""


def parsed(text: str) -> Flow:
    return parse_flow(text, name="a.toml", prompts=PROMPTS)


def problems_of(text: str) -> list[str]:
    with pytest.raises(FlowError) as raised:
        parsed(text)
    lines = str(raised.value).splitlines()
    assert lines
    assert all(line.startswith("a.toml: ") for line in lines)
    return raised.value.problems


# --- what is right ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_shipped_flows_are_right(kind: str) -> None:
    text = (SHIPPED / f"{kind}.toml").read_text(encoding="utf-8")
    flow = parse_flow(text, name=kind, prompts=Prompts().names)
    assert flow.kind == kind
    assert flow.start in flow.states
    assert {state.do for state in flow.states.values()} - {""} == set(KINDS[kind].effects)
    assert any(state.hang_up for state in flow.states.values())


def test_each_kind_has_a_shipped_flow() -> None:
    assert {path.stem for path in SHIPPED.glob("*.toml")} == set(KINDS)


def test_only_keys_lead_to_a_decision() -> None:
    for kind in ("alert", "line"):
        text = (SHIPPED / f"{kind}.toml").read_text(encoding="utf-8")
        flow = parse_flow(text, name=kind, prompts=Prompts().names)
        decisions = {name for name, state in flow.states.items() if state.do in ("acknowledge", "take", "decline")}
        ways = {
            (where, flow.states[target].do)
            for state in flow.states.values()
            for where, target in state.targets()
            if target in decisions
        }
        assert ways == {("keys.1", "acknowledge"), ("keys.3", "take"), ("keys.9", "decline")}


@pytest.mark.parametrize("text", [RIGHT, DIGITS, RECORDED])
def test_small_flows_are_right(text: str) -> None:
    assert parsed(text).states["end"].hang_up == "done"


def test_values_arrive() -> None:
    flow = parsed(RIGHT)
    tell = flow.states["tell"]
    assert (flow.name, flow.kind, flow.start, flow.interrupted) == ("a.toml", "alert", "tell", "")
    assert (tell.say, tell.keys, tell.silence_s) == (("hello", "$text"), {"1": "acknowledge"}, 5)
    assert (tell.visits_max, tell.exhausted, tell.barge_in) == (3, "end", True)
    digits = parsed(DIGITS).states["ask"].digits
    assert digits is not None
    assert (digits.min, digits.max, digits.end, digits.silence_s) == (4, 6, "#", 5)


def test_recording_takes_as_long_as_is_wished() -> None:
    flow = parsed(RECORDED)
    assert recording_for(flow, 7).states["listen"].record_s == 7.0
    assert recording_for(flow, 7).states["end"].record_s == 0.0
    assert recording_for(flow, 0) is flow


def test_file_of_the_greatest_size() -> None:
    padding = "# " + "x" * (FILE_BYTES_MAX - len(RIGHT.encode()) - 2)
    assert parsed(RIGHT + padding).kind == "alert"
    assert problems_of(RIGHT + padding + "x") == [f"expected at most {FILE_BYTES_MAX} bytes"]
    wide = "# " + "é" * (FILE_BYTES_MAX // 2)  # bytes count, not characters
    assert problems_of(RIGHT + wide) == [f"expected at most {FILE_BYTES_MAX} bytes"]


# --- what is wrong ---------------------------------------------------------------------------------------------------

KEYS_ALERT = 'keys = { 1 = "acknowledge" }'
THEN = 'then = { recorded = "end", elsewhere = "end", over = "end", failed = "end" }'
PIN_THEN = 'then = { ok = "end", wrong = "end", locked = "end", failed = "end" }'

MISTAKES = [
    # the file as a whole
    (RIGHT, 'kind = "alert"', 'kind = "other"', "kind:"),
    (RIGHT, 'kind = "alert"', "", "kind:"),
    (RIGHT, 'kind = "alert"', "kind = 1", "kind:"),
    (RIGHT, 'kind = "alert"', "kind = [", "not TOML:"),
    (RIGHT, 'start = "tell"', "", "start:"),
    (RIGHT, 'start = "tell"', 'start = "tel"', "start:"),
    (RIGHT, 'start = "tell"', 'start = ["tell"]', "start:"),
    (RIGHT, 'start = "tell"', 'start = "tell"\ninterrupted = "nowhere"', "interrupted:"),
    (RIGHT, 'start = "tell"', 'start = "tell"\nend = "end"', "end: unknown"),
    # unknown keys and wrong types
    (RIGHT, "silence_s = 5", "silence_x = 5", "states.tell.silence_x: unknown"),
    (RIGHT, "silence_s = 5", 'silence_s = "5"', "states.tell.silence_s: expected"),
    (RIGHT, "silence_s = 5", "silence_s = true", "states.tell.silence_s: expected"),
    (RIGHT, 'say = ["bye"]', 'say = "bye"', "states.end.say: expected a list"),
    (RIGHT, 'say = ["bye"]', 'say = ["bye"]\nbarge_in = 1', "states.end.barge_in: expected a bool"),
    (RIGHT, KEYS_ALERT, 'keys = ["acknowledge"]', "states.tell.keys: expected a dict"),
    (RIGHT, 'wrong = "tell"', "wrong = 1", "states.tell.wrong: expected a str"),
    (RIGHT, "visits_max = 3", "visits_max = 3.0", "states.tell.visits_max: expected a int"),
    (RIGHT, "visits_max = 3", "visits_max = true", "states.tell.visits_max: expected a int"),
    (RIGHT, 'hang_up = "done"', "hang_up = 1979-05-27", "states.end.hang_up: expected a str"),
    (RIGHT, 'hang_up = "done"', 'hang_up = "done"\nfresh = "yes"', "states.end.fresh: expected a bool"),
    (RIGHT, 'hang_up = "done"', 'hang_up = "done"\ndigits = 4', "states.end.digits: expected a dict"),
    (RIGHT, 'hang_up = "done"', 'hang_up = "done"\n[states]\nodd = 1', "states.odd: expected a table"),
    (DIGITS, "min = 4", "least = 4", "states.ask.digits.least: unknown"),
    (DIGITS, "min = 4", 'min = "4"', "states.ask.digits.min: expected a int"),
    (DIGITS, "min = 4", "min = 4.5", "states.ask.digits.min: expected a int"),
    (DIGITS, 'end = "#"', "end = 1", "states.ask.digits.end: expected a str"),
    # states that are not there
    (RIGHT, KEYS_ALERT, 'keys = { 1 = "acknowledge", 2 = "gone" }', "states.tell.keys.2: there is no state 'gone'"),
    (RIGHT, 'silence = "tell"', 'silence = "gone"', "states.tell.silence: there is no state 'gone'"),
    (RIGHT, 'wrong = "tell"', 'wrong = "gone"', "states.tell.wrong: there is no state 'gone'"),
    (RIGHT, 'exhausted = "end"', 'exhausted = "gone"', "states.tell.exhausted: there is no state 'gone'"),
    (RIGHT, 'hang_up = "done"', 'next = "gone"', "states.end.next: there is no state 'gone'"),
    (RIGHT, 'over = "end"', 'over = "gone"', "states.acknowledge.then.over: there is no state 'gone'"),
    # prompts, variables, keys
    (RIGHT, '"bye"', '"by"', "states.end.say: there is no prompt 'by'"),
    (RIGHT, '"bye"', "1", "states.end.say: there is no prompt '1'"),
    (RIGHT, '"$text"', '"$name"', "states.tell.say: there is no variable $name"),
    (RIGHT, '"$text"', '"$"', "states.tell.say: there is no variable $"),
    (RIGHT, '["bye"]', str(["bye"] * (SAID_MAX + 1)), "states.end.say: expected at most"),
    (RIGHT, KEYS_ALERT, 'keys = { 12 = "acknowledge" }', "states.tell.keys: '12' is no key"),
    (RIGHT, KEYS_ALERT, 'keys = { A = "acknowledge" }', "states.tell.keys: 'A' is no key"),
    # effects and their outcomes
    (RIGHT, 'do = "acknowledge"', 'do = "explode"', "states.acknowledge.do: there is no effect 'explode'"),
    (RIGHT, 'do = "acknowledge"', 'do = "raise"', "states.acknowledge.do: there is no effect 'raise'"),
    (RIGHT, ', failed = "end"', "", "states.acknowledge.then: the outcome 'failed' has no state"),
    (RIGHT, 'over = "end", ', "", "states.acknowledge.then: the outcome 'over' has no state"),
    (RIGHT, 'over = "end"', 'over = "end", ok = "end"', "states.acknowledge.then: acknowledge has no outcome 'ok'"),
    (RIGHT, THEN, "", "states.acknowledge.then: the outcome"),
    (RIGHT, 'say = ["bye"]', 'then = { ok = "end" }', "states.end.then: an outcome of no effect"),
    (DIGITS, 'do = "check_pin"\n' + PIN_THEN, "", "states.ask.do:"),
    (RECORDED, 'do = "attach"\nthen = { attached = "end", failed = "end" }', "", "states.listen.do:"),
    # exactly one way on
    (RIGHT, 'hang_up = "done"', "", "states.end.one of keys, digits"),
    (RIGHT, 'hang_up = "done"', 'hang_up = "done"\nnext = "tell"', "states.end.one of keys, digits"),
    (RIGHT, KEYS_ALERT, KEYS_ALERT + '\nnext = "end"', "states.tell.one of keys, digits"),
    (RIGHT, 'do = "acknowledge"', 'do = "acknowledge"\nhang_up = "x"', "states.acknowledge.one of keys, digits"),
    (DIGITS, 'silence = "end"', 'silence = "end"\nnext = "end"', "states.ask.one of keys, digits"),
    (RIGHT, 'wrong = "tell"', "", "states.tell.wrong: expected"),
    (RIGHT, 'silence = "tell"', "", "states.tell.silence: expected"),
    (DIGITS, 'silence = "end"', "", "states.ask.silence: expected"),
    # bounds
    (RIGHT, "silence_s = 5", "silence_s = 0", "states.tell.silence_s"),
    (RIGHT, "silence_s = 5", "silence_s = -1", "states.tell.silence_s"),
    (RIGHT, "silence_s = 5", f"silence_s = {SECONDS_MAX + 1}", "states.tell.silence_s"),
    (RIGHT, "silence_s = 5", "silence_s = nan", "states.tell.silence_s"),
    (RIGHT, "silence_s = 5", "silence_s = inf", "states.tell.silence_s"),
    (RECORDED, "record_s = 30", "record_s = -1", "states.listen.silence_s and record_s"),
    (RECORDED, "record_s = 30", "record_s = nan", "states.listen.silence_s and record_s"),
    (RECORDED, "record_s = 30", f"record_s = {SECONDS_MAX + 1}", "states.listen.silence_s and record_s"),
    (RIGHT, "visits_max = 3", f"visits_max = {VISITS_MAX + 1}", "states.tell.visits_max"),
    (RIGHT, "visits_max = 3", "visits_max = -1", "states.tell.visits_max"),
    (RIGHT, 'exhausted = "end"', "", "states.tell.visits_max"),
    (RIGHT, "visits_max = 3", "", "states.tell.visits_max"),
    (DIGITS, "min = 4", "min = 0", "states.ask.digits"),
    (DIGITS, "min = 4", "min = 7", "states.ask.digits"),
    (DIGITS, "max = 6", f"max = {DIGITS_MAX + 1}", "states.ask.digits"),
    (DIGITS, 'end = "#"', 'end = "1"', "states.ask.digits"),
    (DIGITS, 'end = "#"', 'end = ""', "states.ask.digits"),
    (DIGITS, "silence_s = 5", "silence_s = nan", "states.ask.digits"),
    # the shape
    (RIGHT, 'visits_max = 3\nexhausted = "end"', "", "states.tell: leads back to itself"),
    (RIGHT, KEYS_ALERT, 'keys = { 1 = "end" }', "states.acknowledge: is never entered"),
    (RIGHT, "[states.end]", '[states.alone]\nhang_up = "x"\n[states.end]', "states.alone: is never entered"),
]


@pytest.mark.parametrize(("right", "old", "new", "place"), MISTAKES)
def test_mistake_is_told_with_its_place(right: str, old: str, new: str, place: str) -> None:
    assert right.count(old) >= 1
    problems = problems_of(right.replace(old, new, 1))
    wanted = place.replace("expected a int", "expected a int")
    assert any(problem.startswith(wanted) for problem in problems), problems


@pytest.mark.parametrize("states", ["", "states = 1", "[states]", "states = []"])
def test_states_are_missing(states: str) -> None:
    assert [one.split(":")[0] for one in problems_of(f'kind = "alert"\nstart = "a"\n{states}')] == ["states"]


def test_too_many_states() -> None:
    text = 'kind = "alert"\nstart = "s0"\n' + "".join(
        f'[states.s{n}]\nnext = "s{n + 1}"\n' for n in range(STATES_MAX - 1)
    )
    assert len(parsed(text + f'[states.s{STATES_MAX - 1}]\nhang_up = "x"\n').states) == STATES_MAX
    more = f'[states.s{STATES_MAX - 1}]\nnext = "s{STATES_MAX}"\n[states.s{STATES_MAX}]\nhang_up = "x"\n'
    assert problems_of(text + more)[0].startswith("states:")


def test_state_that_is_no_table() -> None:
    assert "states.end: expected a table" in problems_of('kind = "alert"\nstart = "end"\n[states]\nend = 1')


def test_all_mistakes_are_told_at_once() -> None:
    text = RIGHT.replace('"bye"', '"by"').replace("silence_s = 5", "silence_s = 0").replace('start = "tell"', "")
    assert {problem.split(":")[0].split(" ")[0] for problem in problems_of(text)} >= {
        "start",
        "states.end.say",
        "states.tell.silence_s",
    }


@pytest.mark.parametrize("length", [1, 2, 3, 50])
@pytest.mark.parametrize("bounded", [False, True])
def test_circle_needs_a_bound(length: int, bounded: bool) -> None:
    text = f'kind = "alert"\nstart = "s{length // 2}"\n'
    for n in range(length):
        text += f'[states.s{n}]\nsay = ["hello"]\nnext = "s{(n + 1) % length}"\n'
        if bounded and n == length - 1:
            text += 'visits_max = 2\nexhausted = "end"\n'
    if bounded:
        assert len(parsed(text + '[states.end]\nhang_up = "x"').states) == length + 1
    else:
        assert any("leads back to itself" in problem for problem in problems_of(text))


def test_two_ways_to_a_state_are_no_circle() -> None:
    text = 'kind = "alert"\nstart = "pin"\n[states.pin]\ndo = "needs_pin"\n'
    text += 'then = { yes = "a", no = "b", failed = "end" }\n[states.a]\nnext = "b"\n[states.b]\nnext = "end"\n'
    assert parsed(text + '[states.end]\nhang_up = "x"').start == "pin"


@pytest.mark.parametrize("text", ["[" * 20_000, "a = " + "[" * 20_000, "a = " + "{ a = " * 9_000, "\0", "a = 1\na = 2"])
def test_what_is_no_toml(text: str) -> None:
    assert problems_of(text)[0].startswith("not TOML:")


# --- anything at all -------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["tell", "end", "acknowledge", "ask", "nowhere", ""])
FIELDS = st.sampled_from(
    [
        "say",
        "barge_in",
        "keys",
        "wrong",
        "silence_s",
        "silence",
        "digits",
        "record_s",
        "do",
        "then",
        "next",
        "hang_up",
        "visits_max",
        "exhausted",
        "next_language",
        "fresh",
        "other",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.sampled_from([0.0, -1.0, 5.5, 1e308, float("nan"), float("inf")]),
        NAMES,
        st.sampled_from(["hello", "$text", "$", "check_pin", "needs_pin", "recorded", "failed", "#"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["1", "*", "min", "max", "end", "ok", "failed", "recorded"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
FLOWS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*sorted(KINDS), "other"]),
        "start": NAMES,
        "states": st.dictionaries(NAMES, st.one_of(st.dictionaries(FIELDS, VALUES, max_size=6), VALUES), max_size=5),
    },
    optional={"interrupted": NAMES, "else": VALUES},
)


def toml(value: Any) -> str:
    """A value as TOML writes it in a line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict():
            return "{ " + ", ".join(f'"{key}" = {toml(one)}' for key, one in value.items()) + " }"
        case list():
            return "[" + ", ".join(toml(one) for one in value) + "]"
    return str(value)


def is_flow_or_told(text: str) -> None:
    flow, problems = None, list[str]()
    try:
        flow = parsed(text)
    except FlowError as error:
        problems = error.problems
    if flow is None:
        assert problems
        assert all(isinstance(problem, str) and problem for problem in problems)
        return
    assert flow.start in flow.states
    assert all(target in flow.states for state in flow.states.values() for _, target in state.targets())


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    is_flow_or_told(text)


@settings(max_examples=400, deadline=None)
@given(FLOWS)
def test_any_tables(tables: dict[str, Any]) -> None:
    is_flow_or_told("\n".join(f'"{key}" = {toml(value)}' for key, value in tables.items()))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([RIGHT, DIGITS, RECORDED]), st.data())
def test_any_change_of_a_flow(text: str, data: st.DataObject) -> None:
    lines = text.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        if data.draw(st.booleans()):
            lines[at] = f"{data.draw(FIELDS)} = {toml(data.draw(VALUES))}"
        else:
            lines[at] = ""
    is_flow_or_told("\n".join(lines))

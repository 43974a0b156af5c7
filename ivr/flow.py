"""Call flows as data: a dialogue's states read from TOML and checked as a whole. How they are carried out is in `menu`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FILE_BYTES_MAX = 64 * 1024
STATES_MAX = 200
SAID_MAX = 10
"""Prompts and texts of one state."""
VISITS_MAX = 100
SECONDS_MAX = 120.0
DIGITS_MAX = 32
KEYS = frozenset("0123456789*#")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a kind of flow may use: its variables, and its effects with the outcomes that each can have. Every effect can
    also end `failed`: it took too long, or could not be done."""

    variables: frozenset[str]
    effects: Mapping[str, frozenset[str]]


_DECIDED = frozenset({"recorded", "elsewhere", "over"})
_BRIEFING = {
    "acknowledge": _DECIDED,
    "take": _DECIDED,
    "decline": _DECIDED,
    "next_alert": frozenset({"more", "none"}),
}
FAILED = "failed"
KINDS: Mapping[str, Kind] = {
    "alert": Kind(
        variables=frozenset({"text", "by"}),
        effects={
            **_BRIEFING,
            "needs_pin": frozenset({"yes", "no"}),
            "check_pin": frozenset({"ok", "wrong", "locked"}),
        },
    ),
    "line": Kind(
        variables=frozenset({"text", "by"}),
        effects={**_BRIEFING, "identify": frozenset({"ok", "wrong", "locked"})},
    ),
    "alarm": Kind(
        variables=frozenset(),
        effects={
            "authorise": frozenset({"ok", "wrong", "locked"}),
            "raise": frozenset({"raised"}),
            "attach": frozenset({"attached"}),
            "records": frozenset({"yes", "no"}),
        },
    ),
}
"""The kinds of flow there are: `alert`, we call somebody; `line`, they call the acknowledgement line; `alarm`, they raise one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DigitsWanted:
    """Digits to be collected: `end` finishes them before `max` are there."""

    min: int = 1
    max: int = 12
    end: str = "#"
    silence_s: float = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """One state: what is said, then exactly one of keys, digits, a recording, an effect, another state, or the end."""

    name: str
    say: tuple[str, ...] = ()
    barge_in: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    wrong: str = ""
    silence_s: float = 6.0
    silence: str = ""
    digits: DigitsWanted | None = None
    record_s: float = 0.0
    do: str = ""
    then: Mapping[str, str] = field(default_factory=dict)
    next: str = ""
    hang_up: str = ""
    visits_max: int = 0
    exhausted: str = ""
    next_language: bool = False
    fresh: bool = False

    def targets(self) -> list[tuple[str, str]]:
        """(field, state) of every state that this one can lead to."""
        found = [("wrong", self.wrong), ("silence", self.silence), ("next", self.next), ("exhausted", self.exhausted)]
        found += [(f"keys.{key}", target) for key, target in self.keys.items()]
        found += [(f"then.{outcome}", target) for outcome, target in self.then.items()]
        return [(where, target) for where, target in found if target]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """A whole dialogue, checked."""

    name: str
    kind: str
    start: str
    interrupted: str
    """The state that is entered when somebody else has the alert; "" where nothing is to be said of it."""
    called_off: str = ""
    """The same for an alert that was called off; "" where `interrupted` serves both."""
    states: Mapping[str, State] = field(default_factory=dict)


class FlowError(ValueError):
    """The flow makes no sense. `problems` are all that is wrong with it, a line each."""

    def __init__(self, name: str, problems: list[str]) -> None:
        super().__init__("\n".join(f"{name}: {problem}" for problem in problems))
        self.problems = problems


def parse_flow(text: str, *, name: str, prompts: Collection[str]) -> Flow:
    """The flow in a TOML text; `prompts` are the names of those there are. Raises FlowError with everything that is wrong."""
    if len(text.encode()) > FILE_BYTES_MAX:
        raise FlowError(name, [f"expected at most {FILE_BYTES_MAX} bytes"])
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also for numbers that are too long
        raise FlowError(name, [f"not TOML: {error}"]) from None
    problems: list[str] = []
    kind = KINDS.get(str(raw.get("kind")))
    if kind is None:
        raise FlowError(name, [f"kind: expected one of {', '.join(KINDS)}"])
    tables = raw.get("states")
    if not isinstance(tables, dict) or not 0 < len(tables) <= STATES_MAX:
        raise FlowError(name, [f"states: expected 1 to {STATES_MAX} tables [states.NAME]"])
    unknown = set(raw) - {"kind", "start", "interrupted", "called_off", "states"}
    problems += [f"{key}: unknown; expected kind, start, interrupted, called_off and states" for key in sorted(unknown)]
    states = {state_name: _state(state_name, table, problems) for state_name, table in tables.items()}
    flow = Flow(
        name=name, kind=str(raw["kind"]), start=str(raw.get("start", "")), interrupted=str(raw.get("interrupted", "")),
        called_off=str(raw.get("called_off", "")),
        states=states,
    )  # fmt: skip
    problems += _problems(flow, kind, prompts)
    if problems:
        raise FlowError(name, problems)
    return flow


def recording_for(flow: Flow, seconds: float) -> Flow:
    """The flow with recordings of this length, where it has any; 0 leaves it as it is."""
    if not seconds:
        return flow
    states = {
        name: replace(state, record_s=float(seconds)) if state.record_s else state
        for name, state in flow.states.items()
    }
    return replace(flow, states=states)


# --- one state -------------------------------------------------------------------------------------------------------

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "say": list, "barge_in": bool, "keys": dict, "wrong": str, "silence_s": (int, float), "silence": str,
    "digits": dict, "record_s": (int, float), "do": str, "then": dict, "next": str, "hang_up": str, "visits_max": int,
    "exhausted": str, "next_language": bool, "fresh": bool,
}  # fmt: skip
_DIGITS_TYPES: Mapping[str, type | tuple[type, ...]] = {"min": int, "max": int, "end": str, "silence_s": (int, float)}


def _state(name: str, table: Any, problems: list[str]) -> State:
    where = f"states.{name}"
    if not isinstance(table, dict):
        problems.append(f"{where}: expected a table")
        return State(name=name)
    values = _typed(where, table, _TYPES, problems)
    if isinstance(values.get("say"), list):
        values["say"] = tuple(str(one) for one in values["say"])
    for key in ("keys", "then"):
        if key in values:
            values[key] = {str(one): str(target) for one, target in values[key].items()}
    if "digits" in values:
        values["digits"] = DigitsWanted(**_typed(f"{where}.digits", values["digits"], _DIGITS_TYPES, problems))
    return State(name=name, **values)


def _typed(
    where: str, table: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]], problems: list[str]
) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        expected = types.get(key)
        if expected is None:
            problems.append(f"{where}.{key}: unknown; expected one of {', '.join(types)}")
        elif not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            names = expected.__name__ if isinstance(expected, type) else "number"
            problems.append(f"{where}.{key}: expected a {names}")
        else:
            values[key] = value
    return values


# --- the whole -------------------------------------------------------------------------------------------------------


def _problems(flow: Flow, kind: Kind, prompts: Collection[str]) -> list[str]:
    problems = []
    if flow.start not in flow.states:
        problems.append(f"start: expected the name of a state, not {flow.start!r}")
    for key in ("interrupted", "called_off"):
        named = getattr(flow, key)
        if named and named not in flow.states:
            problems.append(f"{key}: expected the name of a state, not {named!r}")
    for state in flow.states.values():
        problems += [f"states.{state.name}.{text}" for text in _state_problems(flow, state, kind, prompts)]
    if not problems:
        problems += _shape_problems(flow)
    return problems


def _state_problems(flow: Flow, state: State, kind: Kind, prompts: Collection[str]) -> list[str]:
    found = [f"{where}: there is no state {target!r}" for where, target in state.targets() if target not in flow.states]
    if len(state.say) > SAID_MAX:
        found.append(f"say: expected at most {SAID_MAX} prompts")
    for said in state.say:
        if said.startswith("$") and said[1:] not in kind.variables:
            names = ", ".join(f"${name}" for name in sorted(kind.variables))
            found.append(f"say: there is no variable {said}; a flow of kind {flow.kind} has {names}")
        elif not said.startswith("$") and said not in prompts:
            found.append(f"say: there is no prompt {said!r}")
    found += [f"keys: {key!r} is no key; expected 0 to 9, * or #" for key in state.keys if key not in KEYS]
    found += _effect_problems(state, kind)
    ways = [bool(state.keys), state.digits is not None, state.record_s > 0, bool(state.next), bool(state.hang_up)]
    if state.do and state.digits is None and state.record_s == 0:
        ways.append(True)
    if sum(ways) != 1:
        found.append("one of keys, digits, record_s, do, next or hang_up is expected, and one only")
    if (state.digits is not None or state.record_s) and not state.do:
        found.append("do: what was entered is for an effect")
    if (state.keys or state.digits is not None) and not state.silence:
        found.append("silence: expected the state for when nothing is pressed")
    if state.keys and not state.wrong:
        found.append("wrong: expected the state for any other key")
    if not 0 < state.silence_s <= SECONDS_MAX or not 0 <= state.record_s <= SECONDS_MAX:
        found.append(f"silence_s and record_s: expected at most {SECONDS_MAX:g} seconds")
    if not 0 <= state.visits_max <= VISITS_MAX or bool(state.visits_max) != bool(state.exhausted):
        found.append(f"visits_max: expected 1 to {VISITS_MAX} together with exhausted")
    if state.digits is not None and not _sensible(state.digits):
        found.append(
            f"digits: expected 0 < min <= max <= {DIGITS_MAX}, end one of * and #, silence_s at most {SECONDS_MAX:g}"
        )
    return found


def _sensible(digits: DigitsWanted) -> bool:
    lengths = 0 < digits.min <= digits.max <= DIGITS_MAX
    return lengths and digits.end in ("*", "#") and 0 < digits.silence_s <= SECONDS_MAX


def _effect_problems(state: State, kind: Kind) -> list[str]:
    if not state.do:
        return ["then: an outcome of no effect"] if state.then else []
    outcomes = kind.effects.get(state.do)
    if outcomes is None:
        return [f"do: there is no effect {state.do!r}; expected one of {', '.join(sorted(kind.effects))}"]
    wanted = outcomes | {FAILED}
    found = [f"then: the outcome {one!r} has no state" for one in sorted(wanted - set(state.then))]
    found += [f"then: {state.do} has no outcome {one!r}" for one in sorted(set(state.then) - wanted)]
    return found


def _shape_problems(flow: Flow) -> list[str]:
    """States that are never entered, and circles that nothing ends: each circle needs a state with visits_max."""
    reached, waiting = set[str](), [one for one in (flow.start, flow.interrupted, flow.called_off) if one]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [target for _, target in flow.states[name].targets()]
    done: set[str] = set()
    found = [f"states.{name}: is never entered" for name in flow.states if name not in reached]
    # a bounded state lets each circle through only so often; where it is exhausted it leads on for ever
    ways = {
        name: [state.exhausted] if state.visits_max else [target for _, target in state.targets()]
        for name, state in flow.states.items()
    }
    circle = next((one for name in ways if (one := _circle(ways, name, done))), "")
    if not circle:
        circle = _fresh_circle(flow)
    if circle:
        found.append(f"states.{circle}: leads back to itself; expected visits_max in one of the states on the way")
    return found


def _fresh_circle(flow: Flow) -> str:
    """A state with `fresh` wipes the bounds of those that count within one alert: a circle through it needs one that counts
    over the whole call (with an effect of its own)."""
    ways = {
        name: [state.exhausted] if state.visits_max and state.do else [target for _, target in state.targets()]
        for name, state in flow.states.items()
    }
    for name, state in flow.states.items():
        if not state.fresh:
            continue
        reached, waiting = set[str](), list(ways[name])
        while waiting:
            one = waiting.pop()
            if one == name:
                return name
            if one not in reached:
                reached.add(one)
                waiting += ways[one]
    return ""


def _circle(ways: Mapping[str, list[str]], start: str, done: set[str]) -> str:
    """The name of a state on a circle that begins at `start`; "" where there is none."""
    path: list[tuple[str, list[str]]] = [(start, [])]
    on_path: set[str] = set()
    while path:
        name, rest = path[-1]
        if name not in on_path:
            if name in done:
                path.pop()
                continue
            on_path.add(name)
            rest += ways[name]
        if rest:
            target = rest.pop()
            if target in on_path:
                return target
            path.append((target, []))
        else:
            path.pop()
            on_path.discard(name)
            done.add(name)
    return ""

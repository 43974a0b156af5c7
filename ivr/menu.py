"""The dialogue machine: carries a flow out, one event at a time. It says what to do and does nothing itself; time is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ivr.flow import DIGITS_MAX, FAILED, Flow, State

ALERT_TEXT = "text"
"""The variable that tells the alert: what only counts once it was begun to be spoken."""
LANGUAGE = "language"
"""The variable by which an effect chooses the language of the fixed prompts from now on."""
EFFECT_S = 20.0
"""What takes longer has failed."""
DEAF_S = 1.0
"""At the beginning of a further alert's text no key counts: whoever presses a key several times in a row means the one before."""
HUNG_UP = "hung_up"
TOO_LONG = "too_long"
"""The results of calls that the flow did not end: one of the sides hung up, or the time for a call was over."""
ENTRIES_MAX = 1_000
"""States entered in one call: no flow that passed its check comes near."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A fixed prompt, in a language."""

    name: str
    language: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text, in the language that it is written in."""

    text: str
    language: str


Segment = Prompt | Spoken


@dataclass(frozen=True, slots=True)
class Variable:
    """A text of a flow, and its language; "" is the one of the dialogue."""

    text: str
    language: str = ""


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The other side can hear us. `up_s`: for so long the call is up already, for somebody may have been listened to first."""

    up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key, counted once."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """Everything of the last Say was heard."""


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The recording is at its end, by its time."""


@dataclass(frozen=True, slots=True)
class EffectDone:
    """What the last Perform came to, and the variables it set."""

    outcome: str
    variables: Mapping[str, Variable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Somebody else has the alert, or (`by` empty) it was called off: the call is to say so and end."""

    by: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over."""


Event = Started | KeyPressed | PlaybackEnded | RecordingEnded | EffectDone | Interrupted | HungUp

# --- actions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Say:
    """Play these, one after the other, instead of what is being played. `tells`: the alert's text is among them."""

    segments: tuple[Segment, ...]
    tells: bool = False


@dataclass(frozen=True, slots=True)
class StopSaying:
    """Be silent at once."""


@dataclass(frozen=True, slots=True)
class Perform:
    """Do this and tell the outcome. `digits` are what was entered for it: never to be logged."""

    effect: str
    digits: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """Record what is said, for so long at most."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StopRecording:
    """Record no more."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


Action = Say | StopSaying | Perform | Record | StopRecording | HangUp


class Dialogue:
    """One call's way through a flow. `result` is "" until it ends."""

    def __init__(
        self,
        flow: Flow,
        *,
        languages: Sequence[str],
        variables: Mapping[str, Variable],
        call_max_s: float = 600.0,
    ) -> None:
        self.flow = flow
        self.result = ""
        self._languages = tuple(languages)
        self._language = 0
        self._variables = dict(variables)
        self._call_max_s = call_max_s
        self._state: State | None = None
        self._actions: deque[Action] = deque()
        self._visits: dict[str, int] = {}
        self._entries = 0
        self._saying = False
        self._tells = False
        self._told = False
        self._further = False
        self._deaf_until: float | None = None
        self._digits = ""
        self._ahead = ""
        self._recording = False
        self._performing = False
        self._interrupted: Interrupted | None = None
        self._deadline: float | None = None
        self._end_at: float | None = None

    @property
    def language(self) -> str:
        """The language of the fixed prompts now."""
        return self._languages[self._language % len(self._languages)]

    @property
    def state(self) -> str:
        """The name of the state it is in, for logs and tests."""
        return "" if self._state is None else self._state.name

    def next_action(self) -> Action | None:
        """The next thing to do, in order."""
        return self._actions.popleft() if self._actions else None

    def next_deadline(self) -> float | None:
        """When `handle_deadline` is to be called."""
        return min((at for at in (self._deadline, self._end_at) if at is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        """Silence, an effect without an outcome, or a call that has lasted long enough."""
        if self._end_at is not None and now >= self._end_at:
            self._finish(TOO_LONG)
            return
        if self._deadline is None or now < self._deadline or self._state is None:
            return
        self._deadline = None
        if self._performing:
            self._done(EffectDone(FAILED), now)
        elif self._state.digits is not None and len(self._digits) >= self._state.digits.min:
            self._perform(now)
        elif self._state.silence:
            self._enter(self._state.silence, now)

    def receive(self, event: Event, now: float) -> None:
        """Takes one event. What does not fit where the dialogue stands changes nothing."""
        if self.result:
            return
        match event:
            case Started() if self._state is None:
                self._end_at = now - event.up_s + self._call_max_s
                self._enter(self.flow.start, now)
            case HungUp():
                self._hung_up()
            case Interrupted():
                self._interrupt(event, now)
            case EffectDone() if self._performing:
                self._done(event, now)
            case KeyPressed() if self._state is not None:
                self._key(event.key, now)
            case PlaybackEnded() if self._saying:
                self._said(now)
            case RecordingEnded() if self._recording:
                self._recorded(now)

    # --- entering ----------------------------------------------------------------------------------------------------

    def _enter(self, name: str, now: float) -> None:
        """Goes to a state, and on through those that say nothing and wait for nothing."""
        while name and not self.result:
            name = self._entered(name, now)

    def _entered(self, name: str, now: float) -> str:
        """Enters one state; the name of the next one, where it leads on at once."""
        self._entries += 1
        state = self.flow.states[name]
        if self._entries > ENTRIES_MAX:
            self._finish(TOO_LONG)
            return ""
        if state.fresh:
            self._further = True
            self._count_anew()
        visits = self._visits[name] = self._visits.get(name, 0) + 1
        if state.visits_max and visits > state.visits_max:
            return state.exhausted
        self._state = state
        self._digits = ""
        self._tells = False
        self._deadline = None
        if state.next_language:
            self._language += 1
        if self._typed_ahead(state, now):
            return ""
        if not state.say:
            return self._go_on(now)
        self._say(state, now)
        return ""

    def _count_anew(self) -> None:
        """Forgets visits, but for those that are counted over the whole call: of what leads to the next alert, and of the PIN."""
        states = self.flow.states
        self._visits = {name: n for name, n in self._visits.items() if states[name].do and states[name].visits_max}

    def _say(self, state: State, now: float) -> None:
        segments: list[Segment] = []
        for said in state.say:
            if not said.startswith("$"):
                segments.append(Prompt(said, self.language))
                continue
            variable = self._variables.get(said[1:])
            if variable is not None and variable.text:
                segments.append(Spoken(variable.text, variable.language or self.language))
                self._tells = self._tells or said[1:] == ALERT_TEXT
        self._saying = True
        self._actions.append(Say(tuple(segments), tells=self._tells))
        if self._tells:
            self._told = True
            self._deaf_until = now + DEAF_S if self._further else None
            self._further = False

    def _said(self, now: float) -> None:
        self._saying = False
        self._deaf_until = None
        self._enter(self._go_on(now), now)

    def _go_on(self, now: float) -> str:
        """What follows when everything of the state has been said; the next state's name, where it is another one."""
        state = self._state
        assert state is not None
        if state.hang_up:
            self._finish(state.hang_up)
        elif state.next:
            return state.next
        elif state.keys:
            self._deadline = now + state.silence_s
        elif state.digits is not None:
            self._deadline = now + state.digits.silence_s
        elif state.record_s:
            self._recording = True
            self._actions.append(Record(state.record_s))
        else:
            self._perform(now)
        return ""

    # --- keys --------------------------------------------------------------------------------------------------------

    def _key(self, key: str, now: float) -> None:
        state = self._state
        assert state is not None
        if self._recording:
            self._actions.append(StopRecording())
            self._recorded(now)
            return
        if self._performing:
            self._ahead = (self._ahead + key)[:DIGITS_MAX]
            return
        if self._saying and not state.barge_in:
            return
        if self._deaf_until is not None and now < self._deaf_until:
            return
        if state.digits is not None:
            self._digit(key, state, now)
        elif state.keys:
            self._hush()
            if key in state.keys:  # whoever presses what was offered is there: how often nobody did is counted anew
                self._count_anew()
            self._enter(state.keys.get(key, state.wrong), now)
        elif state.next and self._saying:
            self._hush()
            self._ahead = key
            self._enter(state.next, now)

    def _typed_ahead(self, state: State, now: float) -> bool:
        """Takes digits that came before they were asked for: with them there is nothing left to ask. Keys that choose never count
        ahead of what is offered."""
        wanted = state.digits
        if wanted is None and (state.do or state.next):
            return False  # digits may still be asked for
        typed, self._ahead = self._ahead, ""
        if wanted is None or not state.barge_in:
            return False
        digits, end, _ = typed.lstrip(wanted.end).partition(wanted.end)
        for key in digits + end:
            if not self._performing:
                self._digit(key, state, now)
        return bool(digits)

    def _digit(self, key: str, state: State, now: float) -> None:
        wanted = state.digits
        assert wanted is not None
        self._hush()
        ended = key == wanted.end
        self._digits += "" if ended else key
        if len(self._digits) >= (wanted.min if ended else wanted.max):
            self._perform(now)
        elif ended and self._digits:  # too few: a slip, and they begin anew
            self._enter(state.silence, now)
        else:
            self._deadline = now + wanted.silence_s

    def _hush(self) -> None:
        if self._saying:
            self._saying = False
            self._actions.append(StopSaying())

    # --- effects -----------------------------------------------------------------------------------------------------

    def _perform(self, now: float) -> None:
        state = self._state
        assert state is not None
        self._performing = True
        self._deadline = now + EFFECT_S
        self._actions.append(Perform(state.do, self._digits))
        self._digits = ""

    def _done(self, event: EffectDone, now: float) -> None:
        state = self._state
        assert state is not None
        self._performing = False
        self._deadline = None
        self._variables.update(event.variables)
        self._speak_from_now_on(event.variables.get(LANGUAGE))
        interrupted, self._interrupted = self._interrupted, None
        outcome = event.outcome if event.outcome in state.then else FAILED
        if interrupted is not None and outcome != "recorded":
            self._interrupt(interrupted, now)
        else:
            self._enter(state.then[outcome], now)

    def _speak_from_now_on(self, language: Variable | None) -> None:
        wanted = "" if language is None else language.text.partition("-")[0].lower()
        for n, known in enumerate(self._languages):
            if known.partition("-")[0].lower() == wanted:
                self._language = n
                return

    def _recorded(self, now: float) -> None:
        self._recording = False
        self._perform(now)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _interrupt(self, event: Interrupted, now: float) -> None:
        """Somebody else has it. What this person is just having recorded is told first: it may be they who have it."""
        if self._performing:
            self._interrupted = event
            return
        name = self.flow.interrupted if event.by else self.flow.called_off or self.flow.interrupted
        if not name or self._state is None:
            self._finish("completed_elsewhere")
            return
        if self.flow.states[self.state].hang_up or self.state == name:
            return  # it is saying goodbye already
        self._variables["by"] = Variable(
            event.by if self._told else ""
        )  # whoever was not told of it is not told by whom
        self._hush()
        if self._recording:
            self._recording = False
            self._actions.append(StopRecording())
        self._enter(name, now)

    def _hung_up(self) -> None:
        """What was being recorded is kept: to hang up is how people end what they say."""
        state = self._state
        if self._recording and state is not None:
            self._actions.append(Perform(state.do))
        self._finish(HUNG_UP, tell=False)

    def _finish(self, result: str, *, tell: bool = True) -> None:
        self.result = result
        self._deadline = self._end_at = None
        self._saying = self._performing = self._recording = False
        if tell:
            self._actions.append(HangUp())

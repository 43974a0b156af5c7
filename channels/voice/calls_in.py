"""Calls to us: the line that was called, its dialogue, and what its effects do. Who may call at all is decided before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from channels.conversation import Attendant, Caller, Line
from channels.voice.phone import Agenda
from ivr.call import CallOptions, Effects
from ivr.flow import Flow, recording_for
from ivr.menu import LANGUAGE, Variable
from ivr.orders import Conversation
from ivr.sip.headers import parse_name_addr
from ivr.sip.incoming import IncomingCall
from ivr.sip.message import Request
from ivr.sip.uri import user_of

Outcome = tuple[str, Mapping[str, Variable]]
SOURCE_CHARS_MAX = 64
"""Of what a caller says to be: it is counted against and logged, and may be anything."""


class CallerEffects:
    """What an acknowledgement line does: finds out who calls, then tells them their alerts as a call of ours would."""

    def __init__(self, attendant: Attendant, source: str, language: str) -> None:
        self._attendant = attendant
        self._source = source
        self._language = language
        self._agenda: Agenda | None = None

    async def perform(self, effect: str, digits: str, recording: bytes) -> Outcome:
        """See `ivr.call.Effects`."""
        if effect == "identify":
            return await self._identify(digits)
        if self._agenda is None:
            return "failed", {}
        return await self._agenda.perform(effect, digits, recording)

    def telling(self, *, whole: bool) -> None:
        """See `ivr.call.Effects`."""
        if self._agenda is not None:
            self._agenda.telling(whole=whole)

    def told(self) -> None:
        """See `ivr.call.Effects`."""
        if self._agenda is not None:
            self._agenda.told()

    async def _identify(self, digits: str) -> Outcome:
        found = await self._attendant.identify(digits, source=self._source)
        if not isinstance(found, Caller):
            return found.value, {}
        caller = found
        self._agenda = Agenda(self._attendant, lambda: self._attendant.briefings_of(caller), self._language)
        return "ok", {LANGUAGE: Variable(caller.language)} if caller.language else {}


@dataclass(slots=True)
class AlarmEffects:
    """What an alarm line does: checks the PIN, raises the alarm, keeps what is said after it."""

    attendant: Attendant
    line: Line
    source: str
    reference: str = ""

    async def perform(self, effect: str, digits: str, recording: bytes) -> Outcome:
        """See `ivr.call.Effects`."""
        match effect:
            case "authorise":
                return (await self.attendant.authorise(self.line, digits, source=self.source)).value, {}
            case "raise":
                reference = await self.attendant.raise_alarm(self.line, source=self.source)
                self.reference = reference or ""
                return ("raised" if reference else "failed"), {}
            case "records":
                return ("yes" if self.line.record_s and self.reference else "no"), {}
            case "attach":
                kept = bool(recording) and await self.attendant.attach_recording(self.reference, recording)
                return ("attached" if kept else "failed"), {}
        raise ValueError(f"no effect {effect}")

    def telling(self, *, whole: bool) -> None:
        """See `ivr.call.Effects`: an alarm line tells no alert."""

    def told(self) -> None:
        """See `ivr.call.Effects`."""


class CallsIn:
    """Answers what rings at our side."""

    def __init__(self, *, line: Flow, alarm: Flow, options: CallOptions) -> None:
        self._line = line
        self._alarm = alarm
        self._options = options

    async def answer(
        self, leg: IncomingCall, attendant: Attendant, languages: Callable[[str], tuple[str, ...]], default: str
    ) -> Conversation | int:
        """The dialogue of the line that was called, or 404 where there is none. `languages` gives the prompts' languages with
        the one nearest to a language first; `default` is for lines that name none."""
        line = await attendant.line(dialled_numbers(leg.request, own=leg.agent.local.user))
        if line is None:
            return 404
        source = source_of(leg.request)
        effects: Effects
        if line.kind == "alarm":
            flow, effects = recording_for(self._alarm, line.record_s), AlarmEffects(attendant, line, source)
        else:
            flow, effects = self._line, CallerEffects(attendant, source, default)
        return Conversation(
            flow=flow,
            effects=effects,
            languages=languages(line.language or default),
            options=self._options,
        )


def dialled_numbers(request: Request, *, own: str) -> tuple[str, ...]:
    """What was dialled, as the network tells it, the likeliest first: the Request-URI; what it was before a proxy replaced it
    (P-Called-Party-ID, RFC 3455, 4.2); To. A registered trunk fills the Request-URI with our own Contact (RFC 3261, 16.5), whose
    user is `own`: that says which account rings and not which of its numbers was dialled, so it goes last. All of it chooses
    the line and opens nothing."""
    uris = [request.uri, _first_of(request, "P-Called-Party-ID"), request.to.uri]
    if user_of(request.uri) == own.partition(";")[0]:
        uris = uris[1:] + uris[:1]
    return tuple(dict.fromkeys(filter(None, map(user_of, uris))))


def source_of(request: Request) -> str:
    """Where a call says it comes from: P-Asserted-Identity, else From. Anybody can write anything there."""
    said = user_of(_first_of(request, "P-Asserted-Identity") or request.from_.uri)
    return "".join(character for character in said[:SOURCE_CHARS_MAX] if character.isprintable()) or "unknown"


def _first_of(request: Request, header: str) -> str:
    """The first URI in this header that can be read; "" where there is none. What cannot is passed over: nothing hangs on it."""
    found = (parse_name_addr(value) for value in request.headers.elements(header))
    return next((address.uri for address in found if address is not None), "")

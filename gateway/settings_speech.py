"""The section [speech]: which engine speaks the texts of calls, its voices, and an installation's own abbreviations."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from ivr.audio.speech import SpeechPlan

PLACES = ("{text}", "{language}", "{file}", "{words_per_minute}")
"""What is replaced in the arguments of a command."""
_LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"

VoiceLanguage = Annotated[str, Field(pattern=_LANGUAGE)]
Short = Annotated[str, Field(min_length=1, max_length=40)]
Words = Annotated[str, Field(min_length=1, max_length=200)]


class SpeechSettings(BaseModel):
    """[speech]: how texts become sound on the telephone."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    engine: Literal["espeak", "piper", "command"] = Field(
        default="espeak",
        description="espeak: eSpeak NG; piper: a natural voice from a file; command: a program of yours",
    )
    voices: dict[VoiceLanguage, Path] = Field(
        default={},
        max_length=50,
        description="piper: the voice file (.onnx, its .onnx.json beside it) of each language",
    )
    command: tuple[Words, ...] = Field(
        default=(), max_length=50, description="command: the program that writes a WAV file, and its arguments"
    )
    answer_s: float | None = Field(
        default=None, ge=0.5, le=60, description="how long a text may take; espeak 5, others 15 seconds by default"
    )
    abbreviations: dict[VoiceLanguage, Annotated[dict[Short, Words], Field(max_length=1_000)]] = Field(
        default={}, max_length=50, description="by language: what is written = what is spoken"
    )

    @model_validator(mode="after")
    def _the_engine_is_there(self) -> Self:
        wrong = list(self._contradictions())
        if wrong:
            raise ValidationError.from_exception_data(
                "SpeechSettings",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("value_error", "{error}", {"error": ValueError(text)}),
                        loc=at,
                        input=None,
                    )
                    for at, text in wrong
                ],
                hide_input=True,
            )
        return self

    def _contradictions(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The keys that do not fit to the engine or lead nowhere, and why."""
        if self.voices and self.engine != "piper":
            yield ("voices",), 'voices have a meaning only with engine = "piper"'
        if self.command and self.engine != "command":
            yield ("command",), 'command has a meaning only with engine = "command"'
        if self.engine == "piper":
            yield from self._piper_contradictions()
        if self.engine == "command":
            yield from self._command_contradictions()

    def _piper_contradictions(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if find_spec("piper") is None:
            yield ("engine",), 'engine = "piper" needs the package piper-tts, which the extra "piper" installs'
        if not self.voices:
            yield ("voices",), 'engine = "piper" needs a voice file: voices = {fr = "/path/of/voice.onnx"}'
        for language, path in self.voices.items():
            for file in (path, path.with_name(path.name + ".json")):
                if not (file.is_file() and os.access(file, os.R_OK)):
                    yield ("voices", language), f"the file {file} cannot be read"

    def _command_contradictions(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if not self.command:
            yield ("command",), 'engine = "command" needs the program: command = ["/path/of/program", "--to", "{file}"]'
            return
        program = self.command[0]
        if "{" in program:
            yield ("command",), "the program itself is a fixed path: places such as {text} are for its arguments"
        elif shutil.which(program) is None:
            yield ("command",), f"there is no program {program} that can be run"

    def plan(self) -> SpeechPlan:
        """The same for those who speak. Only an installation with calls loads them."""
        from ivr.audio.speech import SpeechPlan

        return SpeechPlan(
            engine=self.engine,
            voices=self.voices,
            command=self.command,
            abbreviations=self.abbreviations,
            answer_s=self.answer_s,
        )

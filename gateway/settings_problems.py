"""What is wrong with a settings file, in words for the person who wrote it; holds no settings of its own."""

from __future__ import annotations

import difflib
import json
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import annotated_types
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from gateway.settings_location import KeyPath, nearest_line, written

SECRET_FILE_BYTES_MAX = 64 * 1024
"""A secret is a password or a key; a larger file is another file named by mistake."""
_SHOWN_CHARACTERS_MAX = 60
_LISTED_MAX = 12  # words, before a page says it better
_REFERENCE_EXPECTED = 'a secret: text, {env = "NAME"} or {file = "PATH"}'
_UNRESOLVED = "unresolved"
_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\A\$([A-Z_][A-Z0-9_]*)\Z")
"""How shells and other programs write what is to be put in from the environment."""
_REFERENCE = "docs/reference/settings.md"
_SECRET_WORDS = ("password", "secret", "token", "key")

_Model = TypeVar("_Model", bound=BaseModel)

_LANGUAGE = 'a language by its code, such as "fr" or "pt-BR"'

PATTERNS: Mapping[str, str] = {
    r"^(?:[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*)?$": _LANGUAGE,
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$": _LANGUAGE,
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$": _LANGUAGE,
    "^[A-Z]{2}$": 'two capital letters, such as "FR"',
    "^[0-9]{0,12}$": "at most 12 digits without anything between them",
    r"^[A-Za-z0-9.:_-]+$": "the name or address of a host, without port, path or spaces",
    r"^[A-Za-z0-9.:\[\]-]*$": "the name or address of a host, without port, path or spaces",
    r"^[^\x00-\x1f\x7f]*$": "text on one line, without control characters",
}
"""What the patterns of keys mean to whoever does not read regular expressions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong: the key (``providers[0].port``; "" is the whole file), its line (None: it has none), and why."""

    key: str
    line: int | None
    text: str

    def told(self, file: str) -> str:
        """It in one line, with its place in the file."""
        place = file if self.line is None else f"{file}:{self.line}"
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class SettingsError(Exception):
    """The settings file is refused. `problems` names everything wrong with it, in the order of its lines; `unexamined` says what could
    not be judged because of them."""

    def __init__(self, file: str, problems: Iterable[Problem], unexamined: Iterable[str] = ()) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        self.unexamined = tuple(unexamined)
        lines = [problem.told(file) for problem in self.problems]
        super().__init__("\n".join([*lines, *(f"not examined yet: {text}" for text in self.unexamined)]))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    """What may stand at a path: the type without its marks, and the marks (bounds)."""

    annotation: Any
    metadata: tuple[Any, ...]


class Examination:
    """Checks tables of one file against models and collects every problem found on the way.

    A model with a class method ``expand(text)`` may be written as a text alone; `expand` gives the table meant by it.

    `folder` is where relative ``{file = "PATH"}`` are looked up, `environ` where ``{env = "NAME"}`` are. Secrets whose place `needs`
    does not name are not read: whoever asks has no use for them.
    """

    def __init__(
        self,
        *,
        lines: Mapping[KeyPath, int],
        folder: Path,
        environ: Mapping[str, str],
        needs: Callable[[KeyPath], bool] = lambda _: True,
    ) -> None:
        self.problems: list[Problem] = []
        self.unexamined: list[str] = []
        """What cannot be judged while something else is wrong, in words."""
        self.cautions: list[Problem] = []
        """What is right and still not as it is meant."""
        self.secret_files: dict[KeyPath, Path] = {}
        """The files that secrets were read from, by their place."""
        self.plain_secrets: set[KeyPath] = set()
        """The places of secrets that stand in the settings file itself."""
        self._wrong: list[KeyPath] = []
        self._malformed: list[KeyPath] = []
        self._needs = needs
        self._lines = lines
        self._folder = folder
        self._environ = environ
        self._shapes: dict[KeyPath, _Shape] = {}
        self._secrets: set[KeyPath] = set()
        self._unreadable: set[KeyPath] = set()
        self._expanded: set[KeyPath] = set()

    def right(self, *path: str | int) -> bool:
        """Whether nothing is wrong so far with what stands at the path, above it or below it."""
        return not _touched(path, self._wrong)

    def well_formed(self, *path: str | int) -> bool:
        """Whether what stands there is of the right form; what it says may still be wrong."""
        return not _touched(path, self._malformed)

    def add(self, path: KeyPath, text: str) -> None:
        self._wrong.append(path)
        self.problems.append(self._problem(path, text))

    def add_unreadable(self, path: KeyPath, text: str) -> None:
        """As `add`; whatever stands there instead for the rest of the examination, nothing is said of it."""
        self.add(path, text)
        self._unreadable.add(path)

    def warn(self, path: KeyPath, text: str) -> None:
        self.cautions.append(self._problem(path, text))

    def _problem(self, path: KeyPath, text: str) -> Problem:
        return Problem(key=written(path), line=nearest_line(self._lines, path), text=text)

    def validated(self, model: type[_Model], table: dict[str, Any], at: KeyPath) -> _Model | None:
        """The table, which stands at `at`, as `model`; None when it has problems (they are added).

        A secret that is not where it is said to be is a problem of its own, and no reason not to judge the rest.
        """
        before = len(self._wrong)
        prepared = self._prepared_table(model, table, at)
        value: _Model | None = None
        try:
            # JSON mode is strict about types ("8080" is no integer) and still takes arrays for tuples and sets.
            value = model.model_validate_json(json.dumps(prepared, default=str), strict=True)
        except ValidationError as refusal:
            self._add_refusal(refusal, prepared, at)
        self._malformed += self._wrong[before:]
        return value if len(self._wrong) == before else None

    # Before validation: unknown keys are named and left out, references to secrets are resolved.

    def _prepared(self, annotation: Any, metadata: Iterable[Any], value: Any, at: KeyPath) -> Any:
        annotation, marks = _bare(annotation, metadata)
        self._shapes[at] = _Shape(annotation=annotation, metadata=marks)
        choices = _choices(annotation)
        if isinstance(value, str) and (meant := _PLACEHOLDER.search(value)):
            secret = SecretStr in choices  # no piece of one is shown, whatever it looks like
            told = f"nothing is put in for {'${NAME}' if secret else meant[0]}: it is taken as it is written"
            self.warn(at, told + ('; a whole text from the environment is {env = "NAME"}' if secret else ""))
        if SecretStr in choices:
            self._secrets.add(at)
            if isinstance(value, dict):
                return self._secret(value, at)
            self.plain_secrets.add(at)
            return value
        for choice in choices:
            if isinstance(value, str) and hasattr(choice, "expand"):
                self._expanded.add(at)
                return choice.expand(value)
        if isinstance(value, dict):
            for choice in choices:
                if _is_model(choice):
                    return self._prepared_table(choice, value, at)
                if typing.get_origin(choice) in (dict, Mapping):
                    inner = typing.get_args(choice)[1]
                    return {key: self._prepared(inner, (), item, (*at, key)) for key, item in value.items()}
        if isinstance(value, list):
            for choice in choices:
                if typing.get_origin(choice) in (list, tuple, set, frozenset):
                    inner = typing.get_args(choice)[0]
                    return [self._prepared(inner, (), item, (*at, n)) for n, item in enumerate(value)]
        return value

    def _prepared_table(self, model: type[BaseModel], table: dict[str, Any], at: KeyPath) -> dict[str, Any]:
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        prepared = {}
        for key, field in fields.items():
            if key in table:
                prepared[key] = self._prepared(field.annotation, field.metadata, table[key], (*at, key))
            else:
                annotation, marks = _bare(field.annotation, field.metadata)
                self._shapes[(*at, key)] = _Shape(annotation=annotation, metadata=marks)
        for key in table.keys() - fields.keys():
            self.add((*at, key), f"unknown key{suggestion(key, fields)}")
        return prepared

    def _secret(self, reference: dict[str, Any], at: KeyPath) -> str:
        if not self._needs(at):
            return _UNRESOLVED
        if isinstance(reference.get("file"), str):
            self.secret_files[at] = _secret_path(reference["file"], self._folder)
        try:
            return _resolved_secret(reference, folder=self._folder, environ=self._environ)
        except _UnresolvedError as failure:
            self.problems.append(self._problem(at, str(failure)))  # what else stands there can be judged all the same
            self._unreadable.add(at)
            return _UNRESOLVED

    # After validation: each error of pydantic becomes one sentence at one key.

    def _add_refusal(self, refusal: ValidationError, prepared: dict[str, Any], at: KeyPath) -> None:
        named: dict[KeyPath, str] = {}
        for error in refusal.errors(include_url=False):
            # of a key that is not written down it is said that it is missing, or that its default does not fit to another key
            unwritten = error["type"] == "missing" or (*at, *error["loc"]) in self._shapes
            path = self._as_written((*at, *_path_in(prepared, error["loc"], unwritten=unwritten)))
            if path not in named and path not in self._unreadable:
                named[path] = self._sentence(path, typing.cast(dict[str, Any], error))
        for path, sentence in named.items():
            # A list whose every element is refused is also reported as too short: only the elements are wrong.
            if not any(other[: len(path)] == path for other in named if other != path):
                self.add(path, sentence)

    def _as_written(self, path: KeyPath) -> KeyPath:
        """The path, cut off where a text alone stands for a table."""
        return next((path[:length] for length in range(len(path)) if path[:length] in self._expanded), path)

    def _sentence(self, path: KeyPath, error: dict[str, Any]) -> str:
        if error["type"] in ("value_error", "assertion_error"):
            return str(error["ctx"]["error"])
        shape = self._shapes.get(path)
        expected = expectation(shape.annotation, shape.metadata) if shape else None
        if error["type"] == "missing":
            return f"missing, expected {expected}" if expected else "missing"
        if error["type"] == "string_pattern_mismatch":
            pattern = error["ctx"]["pattern"]
            expected = PATTERNS.get(pattern, f"text that matches {pattern}")
        sentence = f"expected {expected}" if expected else str(error["msg"]).replace("Input should be", "expected", 1)
        return f"{sentence}{self._got(path, error['input'])}"

    def _got(self, path: KeyPath, value: Any) -> str:
        last = str(path[-1]).lower() if path else ""
        if any(path[: len(secret)] == secret for secret in self._secrets) or any(
            word in last for word in _SECRET_WORDS
        ):
            return ""
        return f", got {shown(value)}"


def _touched(path: KeyPath, wrong: Iterable[KeyPath]) -> bool:
    """Whether one of the wrong paths is the path, one above it or one below it."""
    return any(one[: len(path)] == path[: len(one)] for one in wrong)


class _UnresolvedError(Exception):
    """A reference to a secret leads nowhere; the text says why and never what was found."""


def _resolved_secret(reference: Mapping[str, Any], *, folder: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The secret behind ``{env = "NAME"}`` or ``{file = "PATH"}``. One line end at the file's end is not part of it."""
    match dict(reference):
        case {"env": str(name), **rest} if not rest:
            return _from_environment(name, environ)
        case {"file": str(name), **rest} if not rest:
            return _from_file(_secret_path(name, folder))
    raise _UnresolvedError(f"expected {_REFERENCE_EXPECTED}")


def _secret_path(name: str, folder: Path) -> Path:
    try:
        return folder / Path(name).expanduser()
    except RuntimeError:  # nobody is called what stands behind the ~
        return folder / name


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if value is None:
        raise _UnresolvedError(f"the environment variable {name} is not set")
    if not value:
        raise _UnresolvedError(f"the environment variable {name} is empty")
    return value


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX + 1)
        text = content.decode()
    except OSError as failure:
        raise _UnresolvedError(f"the file {path} cannot be read: {failure.strerror}") from failure
    except UnicodeDecodeError as failure:
        raise _UnresolvedError(f"the file {path} is not UTF-8 text") from failure
    except ValueError as failure:  # a NUL in the name
        raise _UnresolvedError(f"the file {shown(str(path))} cannot be read: {failure}") from failure
    if len(content) > SECRET_FILE_BYTES_MAX:
        raise _UnresolvedError(f"the file {path} is larger than {SECRET_FILE_BYTES_MAX} bytes")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _UnresolvedError(f"the file {path} is empty")
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """``, did you mean "port"?`` where a known word is close, else the known words; of more than twelve, where they are listed."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f", did you mean {shown(close[0])}?"
    if len(words) > _LISTED_MAX:
        return f", none of the {len(words)} there are: {_REFERENCE} lists them"
    return f", expected one of {', '.join(words)}" if words else ""


def shown(value: Any) -> str:
    """A value as it stands in TOML, shortened; tables and lists by their kind only."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}…"


def expectation(annotation: Any, metadata: Iterable[Any] = ()) -> str | None:
    """What may stand there, in words: ``an integer from 1 to 65535``. None for types that have no words here."""
    annotation, marks = _bare(annotation, metadata)
    choices = [choice for choice in _choices(annotation) if choice is not type(None)]
    if len(choices) > 1:
        words = [expectation(choice, marks) for choice in choices]
        return " or ".join(word for word in words if word) if all(words) else None
    return _expectation_of_one(choices[0], marks) if choices else None


def _expectation_of_one(choice: Any, marks: tuple[Any, ...]) -> str | None:
    origin = typing.get_origin(choice)
    if origin is Literal:
        return _one_of(typing.get_args(choice))
    if origin in (list, tuple, set, frozenset):
        inner = expectation(typing.get_args(choice)[0])
        return f"a list{_bounds(marks, of='elements')}" + (f", each {inner}" if inner else "")
    if origin in (dict, Mapping) or _is_model(choice):
        return "text or a table" if hasattr(choice, "expand") else "a table"
    if isinstance(choice, type) and issubclass(choice, Enum):
        return _one_of(member.value for member in choice)
    return {
        bool: "true or false",
        int: f"an integer{_bounds(marks)}",
        float: f"a number{_bounds(marks)}",
        str: f"text{_bounds(marks, of='characters')}",
        SecretStr: _REFERENCE_EXPECTED,
    }.get(choice)


def _one_of(values: Iterable[Any]) -> str:
    return "one of " + ", ".join(shown(value) for value in values)


def _bounds(marks: tuple[Any, ...], of: str = "") -> str:
    low = high = ""
    for mark in marks:
        match mark:
            case annotated_types.Ge(ge=bound) | annotated_types.MinLen(min_length=bound):
                low = str(bound)
            case annotated_types.Gt(gt=bound):
                low = f"more than {bound}"
            case annotated_types.Le(le=bound) | annotated_types.MaxLen(max_length=bound):
                high = str(bound)
            case annotated_types.Lt(lt=bound):
                high = f"less than {bound}"
    if not low and not high:
        return ""
    text = f"{low} to {high}" if low and high else (f"at least {low}" if low else f"at most {high}")
    return f" of {text} {of}" if of else f" from {text}" if low and high else f" of {text}"


def _bare(annotation: Any, metadata: Iterable[Any]) -> tuple[Any, tuple[Any, ...]]:
    """The type inside Annotated, and all marks on it, those inside a FieldInfo included."""
    marks = list(metadata)
    while typing.get_origin(annotation) is Annotated:
        annotation, *more = typing.get_args(annotation)
        marks.extend(more)
    flat: list[Any] = []
    for mark in marks:
        flat.extend(mark.metadata if isinstance(mark, FieldInfo) else [mark])
    return annotation, tuple(flat)


def _choices(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return tuple(_bare(choice, ())[0] for choice in typing.get_args(annotation))
    return (annotation,)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _path_in(value: Any, location: tuple[str | int, ...], *, unwritten: bool) -> KeyPath:
    """The part of pydantic's location that names keys of the file; branches of unions and validators are left out."""
    path: list[str | int] = []
    for n, part in enumerate(location):
        is_key = isinstance(value, dict) and part in value
        is_position = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_key or is_position:
            value = value[part]
        elif not (unwritten and n == len(location) - 1):
            continue
        path.append(part)
    return tuple(path)

"""Finds templates by name, language and channel in folders of ``LANGUAGE/NAME.CHANNEL.j2``; renders nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from templates.limits import FILES_MAX, SOURCE_CHARS_MAX
from templates.render import Template, TemplateError

DEFAULT_LANGUAGE = "en"
"""The language that every name has a template in."""
TEXT = "text"
"""The channel whose template serves every channel without one of its own."""
SUBJECT = "subject"
"""The template of a name's subject line, beside those of its channels."""

OWN = Path(__file__).parent / "catalog"
"""The catalog that comes with Tocsin."""

_FILE = re.compile(r"([a-z][a-z0-9-]{0,63})\.([a-z][a-z0-9]{0,31})\.j2")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


def languages_of(language: str) -> Iterator[str]:
    """The tag, then ever less of it, then the default: ``fr-CA`` gives ``fr-ca``, ``fr``, ``en`` (RFC 4647, 3.4)."""
    tag = language.lower()
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]
    yield DEFAULT_LANGUAGE


class Catalog:
    """The templates of some folders; what an earlier folder has hides the same file of a later one.

    Folders are listed and read once, at construction. Raises TemplateError for a template that is not right: a
    mistake in one shows at start, not in the middle of the night.
    """

    def __init__(self, folders: Sequence[Path] = (OWN,)) -> None:
        self._templates: dict[tuple[str, str, str], Template] = {}
        for folder in folders:
            for language, name, channel, path in _files(folder):
                key = (name, language, channel)
                if key not in self._templates:
                    self._templates[key] = Template(_source(path), name=name, language=language, channel=channel)
        self.names = tuple(sorted({name for name, _, channel in self._templates if channel != SUBJECT}))

    def find(self, name: str, language: str, channel: str = TEXT) -> Template | None:
        """The template in the language nearest to the one asked for; there the channel's own before ``text``.

        A subject is nobody's fallback and has none. None where there is no such template.
        """
        channels = (channel,) if channel in (TEXT, SUBJECT) else (channel, TEXT)
        for tag in languages_of(language):
            for one in channels:
                found = self._templates.get((name, tag, one))
                if found is not None:
                    return found
        return None

    def __iter__(self) -> Iterator[Template]:
        """Every template, in the order of names, languages and channels."""
        return (self._templates[key] for key in sorted(self._templates))


def _files(folder: Path) -> Iterator[tuple[str, str, str, Path]]:
    """(language, name, channel, path) of every template below. Raises TemplateError beyond FILES_MAX of them."""
    paths = sorted(folder.glob("*/*.j2"))
    if len(paths) > FILES_MAX:
        raise TemplateError("template", f"{folder}: expected at most {FILES_MAX} templates")
    for path in paths:
        language, named = path.parent.name.lower(), _FILE.fullmatch(path.name)
        if named is None or not _LANGUAGE.fullmatch(language):
            raise TemplateError("template", f"{path}: expected LANGUAGE/NAME.CHANNEL.j2, such as fr/test.text.j2")
        yield language, named[1], named[2], path


def _source(path: Path) -> str:
    """The file's text; one character more than is allowed where it is longer, so that the template is refused."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(SOURCE_CHARS_MAX + 1)
    except UnicodeDecodeError as error:
        raise TemplateError("template", f"{path}: expected UTF-8 text") from error
    except OSError as error:
        raise TemplateError("template", f"{path}: cannot be read: {error.strerror}") from error

"""What a page asks its reader to do, in order: its blocks, and what comments before them say about each. Nothing is run here.

A comment (HTML, so that readers see nothing of it) stands right before a block, or alone:

- `run`: the block is typed in the reader's terminal, and has to work. `in=NAME`: in another terminal. `until="TEXT"`: it stays
  running, and the page goes on when it has said this. `fails="TEXT"`: it has to fail, and to say this.
- `file NAME`, `append NAME`: the block is written to this file, or to its end.
- `output`: the last block showed this; `…` is anything, and numbers, times and ids are not compared.
- `stands for: WORDS`, with the options of `run`, and lines: these lines are run instead of what the words say (and of the block,
  where one follows at once).
- `not run: WHY`: the block is only shown.
- `stop NAME`: Ctrl-C in that terminal.
- `instead of "A" "B"`: from here on B stands for A in blocks: for hosts and folders that tests cannot have.
- `page not run: WHY`: nothing on the page can be run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PIECE = re.compile(
    r"^ *<!-- (?P<comment>(?:run|file|append|output|stands for:|not run:|stop|instead of|page not run:).*?) ?-->\n"
    r"|^(?P<indent> *)```(?P<language>[a-z]*)\n(?P<block>.*?)^(?P=indent)```$",
    re.M | re.S,
)
_OPTION = re.compile(r'\b(in|until|fails)=("[^"]*"|\S+)')
COMMANDS = ("sh", "bash", "console")
"""Languages of blocks that a reader types."""


class PageError(ValueError):
    """A comment that nobody understands; the text says where."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to do: `verb` as the table above names it, its options, the text it is about."""

    verb: str
    name: str = ""
    options: dict[str, str] = field(default_factory=dict)
    text: str = ""
    line: int = 0


def steps_of(page: Path) -> list[Step]:
    """What is to be done, in the page's order. Raises PageError for comments it cannot read, and commands without one."""
    return list(_steps(page))


def reason_not_run(page: Path) -> str:
    """Why nothing of the page is run; "" where something is."""
    found = re.search(r"<!-- page not run: (.+?) ?-->", page.read_text(), re.S)
    return found[1] if found else ""


def _steps(page: Path) -> Iterator[Step]:
    text = page.read_text()
    comment, end, comment_line = "", 0, 0
    for piece in _PIECE.finditer(text):
        line = text.count("\n", 0, piece.start()) + 1
        if piece["comment"] is not None:
            if comment:
                yield _alone(page, comment, comment_line)
            comment, end, comment_line = piece["comment"], piece.end(), line
            continue
        near = comment and not text[end : piece.start()].strip()
        if comment and not near:
            yield _alone(page, comment, comment_line)
        lines = [each.removeprefix(piece["indent"]) for each in piece["block"].splitlines(keepends=True)]
        block = "".join(lines)
        if near:
            yield _with_block(page, comment, block, line)
        elif piece["language"] in COMMANDS:
            raise PageError(f"{page.name}:{line}: commands without a comment that says how they are run, or why not")
        comment = ""
    if comment:
        yield _alone(page, comment, comment_line)


def _with_block(page: Path, comment: str, block: str, line: int) -> Step:
    verb, _, rest = comment.partition(" ")
    match verb:
        case "run":
            options = dict(word.split("=", 1) for word in shlex.split(rest))
            return Step(verb="run", name=options.pop("in", "reader"), options=options, text=block, line=line)
        case "file" | "append":
            return Step(verb=verb, name=rest.strip(), text=block, line=line)
        case "output":
            return Step(verb="output", text=block, line=line)
        case "not":
            return Step(verb="not run", name=rest.partition(":")[2].strip(), line=line)
    return _alone(page, comment, line)


def _alone(page: Path, comment: str, line: int) -> Step:
    verb, _, rest = comment.partition(" ")
    match verb:
        case "stands":
            words, _, commands = rest.removeprefix("for:").partition("\n")
            options = {name: value.strip('"') for name, value in _OPTION.findall(words)}
            options["because"] = _OPTION.sub("", words).strip()
            return Step(verb="run", name=options.pop("in", "reader"), options=options, text=commands, line=line)
        case "stop":
            return Step(verb="stop", name=rest.strip(), line=line)
        case "instead":
            old, new = shlex.split(rest.removeprefix("of"))
            return Step(verb="instead", options={old: new}, line=line)
        case "page":
            return Step(verb="not run", name=rest.partition(":")[2].strip(), line=line)
    raise PageError(
        f"{page.name}:{line}: {comment.splitlines()[0]}: a block has to follow, or this is no comment for readers"
    )

"""A reader of one page, who does what it says word for word: in fresh folders, with nothing else on the network of the machine.

`python -m tests.docs.reader PAGE FOLDER [--demo]` prints what happened, and ends with status 1 at the first step that is not as the
page says. With `--demo` the demo is up, until a step fails for that reason and says so: then it is stopped as the message asks, the
step is done again, and that is the end.

What stands for what a reader has:

- the network: one of its own (network namespaces(7)), with loopback alone, so that the customary ports are free. A kernel that grants
  none leaves the machine's, one reader after the other;
- the checkout and its environment: the folder `tocsin` with links to ours, `.venv` included, so that nothing is installed;
- in a how-to `tocsin` is on the path;
- an id that ends in `…` is the last one of its kind that was shown.
"""

from __future__ import annotations

import fcntl
import re
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.docs.page import Step, steps_of
from tests.docs.terminal import BlockFailedError, Terminal
from tests.peers.network import alone_on_the_network

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
LINKED = ("Makefile", "deploy", "docs", "requirements", "pyproject.toml", "README.md", "CHANGELOG.md",
          "gateway", "channels", "billing", "templates", "ivr")  # fmt: skip
IDS = re.compile(r"\b(tok|alt|dlv|key)_…")
PROBLEM = '"type":"/problems/'
"""The API refused what a `curl` of the page asked: curl itself says nothing of it."""
DEMO = "make run"
DEMO_IS_UP = "Ctrl-C stops it"


class Reader:
    """One page, its folder, its terminals."""

    def __init__(self, page: Path, folder: Path, *, demo: bool) -> None:
        self._page, self._folder = page, folder
        self._demo = demo
        self._terminals: dict[str, Terminal] = {}
        self._instead: dict[str, str] = {}
        self._shown = self._last = ""
        self._scratch = folder / "typed"
        for name in ("home", "typed"):
            (folder / name).mkdir(parents=True)
        self._checkout = self._check_out()

    def read(self) -> None:
        """Does all that the page says. Raises BlockFailedError."""
        with ExitStack() as stack:
            stack.callback(self._close)
            if self._demo:
                self._terminal("demo").start(DEMO, DEMO_IS_UP)
            for step in steps_of(self._page):
                print(
                    f"--- {self._page.name}:{step.line}: {step.verb} {step.name} {step.options.get('because', '')}",
                    flush=True,
                )
                try:
                    self._do(step)
                except BlockFailedError as error:
                    if not self._demo or "taken by tocsin demo" not in error.shown:
                        raise BlockFailedError(f"{self._page}:{step.line}: {error}", error.shown) from None
                    print(f"{error}\n--- so the demo is stopped", flush=True)
                    self._demo = False
                    self._terminal("demo").interrupt()
                    self._do(step)
                    return

    def _do(self, step: Step) -> None:
        match step.verb:
            case "run":
                self._run(step)
            case "file" | "append":
                path = self._path(step.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a" if step.verb == "append" else "w") as file:
                    file.write(self._words(step.text))
            case "output":
                compare(self._words(step.text), self._last)
            case "stop":
                if step.name != "demo" or not self._demo:
                    self._terminal(step.name).interrupt()
            case "instead":
                self._instead |= {old: new.replace("FOLDER", str(self._folder)) for old, new in step.options.items()}

    def _run(self, step: Step) -> None:
        if self._demo and DEMO in step.text:
            return  # it is up already
        terminal, block = self._terminal(step.name), self._words(step.text)
        print(block, flush=True)
        if "until" in step.options:
            self._last = terminal.start(block, step.options["until"])
        else:
            status, self._last = terminal.run(block)
            told = step.options.get("fails")
            if PROBLEM in self._last:
                status = status or 22  # as curl --fail
            if (status != 0) != (told is not None) or (told or "") not in self._last:
                raise BlockFailedError(
                    f"status {status}" + (f", expected to fail with {told!r}" if told else ""), self._last
                )
        print(self._last, flush=True)
        self._shown += self._last

    def _words(self, text: str) -> str:
        """The block as it is typed here. What was said last comes first, so that it may speak of what was said before."""
        for old, new in reversed(self._instead.items()):
            text = text.replace(old, new)
        return IDS.sub(lambda found: self._last_id(found[1]), text)

    def _last_id(self, kind: str) -> str:
        ids = re.findall(rf"\b{kind}_[A-Za-z0-9_-]+", self._shown)
        assert ids, f"no {kind}_… was shown yet"
        return str(ids[-1])

    def _terminal(self, name: str) -> Terminal:
        if name not in self._terminals:
            path = SYSTEM_PATH if "tutorial" in self._page.parts else f"{VENV / 'bin'}:{SYSTEM_PATH}"
            env = {"HOME": str(self._folder / "home"), "PATH": path, "LANG": "C.UTF-8", "TERM": "dumb"}
            env["TOCSIN_TESTS"] = str(ROOT)  # for what stands for the reader's database
            self._terminals[name] = Terminal(self._checkout, env, self._scratch)
        return self._terminals[name]

    def _path(self, name: str) -> Path:
        return self._terminal("reader").folder / self._words(name)

    def _check_out(self) -> Path:
        checkout = self._folder / "tocsin"
        (checkout / ".venv").mkdir(parents=True)
        for name in LINKED:
            (checkout / name).symlink_to(ROOT / name)
        for each in VENV.iterdir():
            if each.name != ".checkout":
                (checkout / ".venv" / each.name).symlink_to(each)
        (checkout / ".venv" / ".checkout").write_text(f"{checkout}\n")
        return checkout

    def _close(self) -> None:
        for terminal in reversed(list(self._terminals.values())):
            terminal.close()


def compare(shown: str, was: str) -> None:
    """Raises BlockFailedError where a line that the page shows was not there, in its order. Numbers, ids and times may differ."""
    lines = iter(was.splitlines())
    for line in shown.splitlines():
        if line.strip() in {"", "…"} or line.startswith("$ "):
            continue
        pattern = masked(line)
        if not any(re.fullmatch(pattern, each.rstrip()) for each in lines):
            raise BlockFailedError(f"the page shows, and it was not there: {line}", was)


def masked(line: str) -> str:
    """A pattern for the line: ids, numbers and runs of blanks may differ, … is anything."""
    pattern = re.escape(line.rstrip())
    pattern = re.sub(r"(?:tok|alt|dlv|key)_[A-Za-z0-9_-]*(?=…|\b)", r"\\w+", pattern)
    pattern = pattern.replace("…", ".*")
    pattern = re.sub(r"\d+", r"\\d+", pattern)
    return re.sub(r"(?:\\ )+", r" +", pattern)


def main(page: Path, folder: Path, *, demo: bool) -> int:
    """The status: 0 where everything was as the page says."""
    with ExitStack() as stack:
        if not alone_on_the_network():
            lock = stack.enter_context((ROOT / ".venv" / ".readers").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            Reader(page, folder, demo=demo).read()
        except (BlockFailedError, AssertionError) as error:
            print(f"=== {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), demo="--demo" in sys.argv))

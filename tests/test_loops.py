"""What the product may not take for granted of an event loop, read from its source: it runs on uvloop, and on asyncio's own."""

from __future__ import annotations

import ast
import asyncio
import asyncio.selector_events
import asyncio.sslproto
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "channels", "billing", "templates", "ivr")

RUNS = {"gateway/loop.py", "ivr/audio/prompts.py"}
"""Where a loop is made: one place for the product, and the script that renders the fixed prompts for the source tree."""
_OTHER_LOOPS = {"run", "Runner", "new_event_loop", "get_event_loop", "set_event_loop", "set_event_loop_policy"}

SHARED = {
    asyncio.Future,
    asyncio.Task,
    asyncio.Event,
    asyncio.Queue,
    asyncio.Lock,
    asyncio.Condition,
    asyncio.Semaphore,
}
"""Classes of asyncio that every loop uses. Its transports, handles, servers and loops are its own loops' alone."""

_INNER = (
    asyncio.BaseTransport, asyncio.Transport, asyncio.DatagramTransport, asyncio.SubprocessTransport, asyncio.Handle,
    asyncio.TimerHandle, asyncio.Server, asyncio.BaseEventLoop, asyncio.SelectorEventLoop, asyncio.StreamWriter,
    asyncio.StreamReader, asyncio.sslproto.SSLProtocol, asyncio.selector_events.BaseSelectorEventLoop,
)  # fmt: skip
_PRIVATE = {name for kind in _INNER for name in vars(kind) if name.startswith("_") and not name.startswith("__")}
_PRIVATE |= {"_transport", "_sock", "_ssl_protocol", "_scheduled", "_ready", "_selector", "_extra"}
"""What asyncio's classes keep to themselves: another loop's have it by chance, or not."""


NOT_EVERYWHERE = {"sock_sendto", "sock_recvfrom", "sock_recvfrom_into", "sock_sendfile", "sendfile"}
"""What asyncio's loops can do and uvloop raises NotImplementedError for."""


def _sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _own(name: str) -> bool:
    """Whether asyncio's class is one that uvloop's objects are no instances of."""
    kind = getattr(asyncio, name, None)
    return inspect.isclass(kind) and kind not in SHARED and not issubclass(kind, BaseException)


def _classes(node: ast.expr) -> Iterator[str]:
    """The classes of asyncio that an expression names, as in ``asyncio.Transport | asyncio.Server``."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "asyncio":
            yield part.attr


def _of_asyncio(node: ast.AST) -> str | None:
    """The name in ``asyncio.NAME``."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "asyncio":
        return node.attr
    return None


def faults(source: str, where: str) -> list[str]:
    """What in a module holds on one event loop only, a line for each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        what = _fault(node, where)
        if what:
            found.append(f"{where}:{getattr(node, 'lineno', 0)}: {what}")
    return found


def _fault(node: ast.AST, where: str) -> str:
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "asyncio":
        return "import asyncio as a whole: what is taken from it is to be seen"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
        own = [name for name in _classes(node.args[1]) if _own(name)]
        return f"asks for asyncio's own {', '.join(own)}" if own else ""
    if isinstance(node, ast.Call) and (name := _of_asyncio(node.func)) in _OTHER_LOOPS and where not in RUNS:
        return f"makes a loop by asyncio.{name}: gateway.loop makes the product's"
    if isinstance(node, ast.MatchClass) and (name := _of_asyncio(node.cls)) and _own(name):
        return f"matches asyncio's own {name}"
    if isinstance(node, ast.Attribute):
        if node.attr in NOT_EVERYWHERE:
            return f"{node.attr} is not there on every loop"
        if node.attr == "when":
            return "asks a timer for its time: keep the deadline in a field of your own"
        mine = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if node.attr in _PRIVATE and not mine and not _of_one_of_us(node):
            return f"uses {node.attr} of something else"
    return ""


def _of_one_of_us(node: ast.Attribute) -> bool:
    """``connection._loop`` in a class method that makes the connection."""
    return node.attr == "_loop" and isinstance(node.value, ast.Name) and node.value.id == "connection"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_asks_for_what_one_event_loop_alone_has(package: str) -> None:
    sources = [path for path in _sources() if path.is_relative_to(ROOT / package)]
    assert sources
    found = [fault for path in sources for fault in faults(path.read_text(), path.relative_to(ROOT).as_posix())]
    assert found == []


def test_no_test_asks_a_loop_for_what_it_need_not_have() -> None:
    """Their other ways with loops are their own: they make some, to try things on."""
    called = (
        (path, node)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in NOT_EVERYWHERE
    )
    assert [f"{path.relative_to(ROOT)}:{node.lineno}" for path, node in called] == []


@pytest.mark.parametrize(
    "source",
    [
        "assert isinstance(transport, asyncio.Transport)",
        "isinstance(server.transport, (asyncio.WriteTransport, asyncio.DatagramTransport))",
        "isinstance(timer, asyncio.TimerHandle | None)",
        "isinstance(server, asyncio.Server)",
        "match transport:\n    case asyncio.Transport():\n        pass",
        "if self._timer.when() <= deadline: pass",
        "writer._transport.abort()",
        "loop._scheduled",
        "await loop.sock_sendto(sock, data, address)",
        "asyncio.run(main())",
        "asyncio.Runner()",
        "from asyncio import Transport",
        "from asyncio.sslproto import SSLProtocol",
    ],
)
def test_each_of_these_is_found(source: str) -> None:
    assert faults(source, "channels/example.py")


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(error, asyncio.CancelledError)",
        "isinstance(found, asyncio.Future)",
        "cast(asyncio.Transport, transport)",
        "self._transport.abort()",
        "asyncio.get_running_loop().call_at(at, act)",
    ],
)
def test_none_of_these_is(source: str) -> None:
    assert faults(source, "channels/example.py") == []

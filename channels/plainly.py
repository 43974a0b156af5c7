"""Errors of the system and of drivers in the words of people: what happened and where, without numbers and names of modules."""

from __future__ import annotations

import os
import re
import ssl

_DRIVER = re.compile(r"^(?:<class '[^']*'>: |\([\w.]+\):? |[\w.]+(?:Error|Exception): )")
_DIALLED = re.compile(r"(Error|Timed out) connecting to (\S+) on port (\d+)(?:: )?")
_REDIS = re.compile(r"Error (?:(-?\d+) connecting to (\S+)\. (.*?)|(\D.*) connecting to (\S+))\.?$", re.DOTALL)
_SEVERAL = re.compile(r"Multiple exceptions: (.*)", re.DOTALL)
_CALL = re.compile(r"(?:\[Errno (\d+)\] )?Connect call failed \('([^']*)', (\d+)[^)]*\)")
_BIND = re.compile(
    r"(?:\[Errno (\d+)\] )?error while attempting to bind on address \('([^']*)', (\d+)[^)]*\): (.*)", re.DOTALL
)
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_TLS = re.compile(r"\[(?:SSL|X509|ASN1)(?:: \w+)?\] | \(_ssl\.c:\d+\)")
_RESOLVER = re.compile(
    r"Name or service not known|nodename nor servname provided, or not known|No address associated with hostname"
    r"|Temporary failure in name resolution"
)
_WORDLESS: dict[type[BaseException], str] = {
    TimeoutError: "timed out",
    ConnectionRefusedError: "Connection refused",
    ConnectionResetError: "Connection reset by peer",
    BrokenPipeError: "Connection reset by peer",
}
"""What errors mean that a library raises without a word."""
_RAW = re.compile(rf"\[Errno|_ssl\.c:|Connect call failed|{_RESOLVER.pattern}")


def is_raw(text: str) -> bool:
    """Whether the text has an error in it as Python writes it."""
    return _RAW.search(text) is not None


def endpoint(host: str, port: int | str) -> str:
    """Host and port as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def plainly(error: BaseException | str, at: str = "") -> str:
    """What went wrong in a sentence: ``nobody listens at 127.0.0.1:25``. `at` is where, if the error does not say it itself."""
    places: list[str] = []
    text = _DRIVER.sub("", _text_of(error))
    if (dialled := _DIALLED.match(text)) is not None:
        at = at or endpoint(dialled[2], dialled[3])
        text = ("timed out " if dialled[1] == "Timed out" else "") + text[dialled.end() :]
    if (dialled := _REDIS.match(text)) is not None:
        at = at or dialled[2] or dialled[5]
        text = dialled[4] or f"[Errno {dialled[1]}] {dialled[3]}"
    text = _SEVERAL.sub(lambda several: _each(several[1], places), text)
    text = " ".join(_DRIVER.sub("", _one(text, places)).split())
    if text in ("TimeoutError", ""):
        text = "timed out"
    return _hinted(text, " and ".join(dict.fromkeys(places)) or at)


def _text_of(error: BaseException | str) -> str:
    if isinstance(error, str):
        return error
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return f"[Errno {error.errno or 0}] {error.strerror}"
    return str(error) or _WORDLESS.get(type(error)) or _in_words(type(error).__name__)


def _in_words(name: str) -> str:
    """The name of an error that says nothing else: ``ConnectionAbortedError`` is connection aborted."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Error")).lower()


def _each(texts: str, places: list[str]) -> str:
    """Several errors, one for each address of a name: each once."""
    return " and ".join(dict.fromkeys(_one(text, places) for text in re.split(r", (?=\[Errno)", texts)))


def _one(text: str, places: list[str]) -> str:
    """The text without what only a program reads; the addresses that it names go to `places`."""

    def called(found: re.Match[str]) -> str:
        places.append(endpoint(found[2], found[3]))
        return os.strerror(int(found[1])) if found[1] else "the connection failed"

    def bound(found: re.Match[str]) -> str:
        told = os.strerror(int(found[1])) if found[1] else found[4]
        return f"cannot listen at {endpoint(found[2], found[3])}: {told}"

    text = _BIND.sub(bound, _CALL.sub(called, text))
    return _RESOLVER.sub("no such host", _TLS.sub("", _NUMBER.sub("", text)))


def _hinted(text: str, place: str) -> str:
    """The text with what a person would look at first."""
    at = f"at {place}" if place else "there"
    if "Connection refused" in text:
        return text.replace("Connection refused", f"nobody listens {at}")
    if "Connection reset by peer" in text:
        return text.replace("Connection reset by peer", f"{place or 'the other side'} broke the connection off")
    if "wrong version number" in text:
        return text.replace("wrong version number", f"what answers {at} speaks no TLS")
    hint = ""
    if text.endswith("no such host"):
        host = place.rpartition(":")[0]
        hint = f"is the name {host} right?" if host else "is the name right?"
    elif text.endswith(("timed out", "No route to host")):
        hint = f"is the address{f' {place}' if place else ''} right, and does a firewall let us through?"
    return f"{text}: {hint}" if hint else text

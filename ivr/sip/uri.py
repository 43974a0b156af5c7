"""SIP, SIPS and tel URIs (RFC 3261, 19.1; RFC 3966): read and written. Where they lead is not known here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

URI_CHARS_MAX = 2_048
"""Longer than any URI that a phone can make; it keeps the work small."""

_SCHEME = re.compile(r"(sips?):", re.IGNORECASE | re.ASCII)
_USER = re.compile(r"sips?:([^:?]+)", re.IGNORECASE | re.ASCII)
_HOST = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}")
_USER_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,;?/#")
_TEL = re.compile(r"\+?[0-9A-Fa-f*#().\-]{1,40}")
_SEPARATORS = str.maketrans("", "", "-.()")


@dataclass(frozen=True, kw_only=True, slots=True)
class SipUri:
    """A SIP or SIPS URI. `user` is unescaped; parameters without a value have None; `host` is without brackets; `headers` is
    what follows the question mark, as written."""

    scheme: str = "sip"
    user: str = ""
    host: str
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict)
    headers: str = ""

    def __str__(self) -> str:
        """As it goes on the wire; the inverse of `parse_uri`."""
        user = f"{_escaped(self.user)}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{host}{port}{written_params(self.params)}{headers}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TelUri:
    """A telephone number as a URI."""

    number: str
    params: Mapping[str, str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"tel:{self.number}{written_params(self.params)}"


def parse_uri(text: str) -> SipUri | TelUri | None:
    """The URI; None where it is no SIP, SIPS or tel URI, or broken. Never raises."""
    if len(text) > URI_CHARS_MAX:
        return None
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return _sip(scheme[1].lower(), text[scheme.end() :])
    if text[:4].lower() == "tel:":
        number, _, rest = text[4:].partition(";")
        params = parse_params(rest)
        if params is not None and _TEL.fullmatch(number):
            return TelUri(number=number, params=params)
    return None


def is_known_scheme(text: str) -> bool:
    """Whether it is a SIP, SIPS or tel URI, broken or not."""
    return text.partition(":")[0].lower() in ("sip", "sips", "tel") and ":" in text


def user_of(text: str) -> str:
    """Whom a URI names: the user part of a SIP URI, the number of a tel URI, without parameters within it (RFC 3261, 19.1.6) and,
    of a number, without visual separators (RFC 3966, 3 and 5.1.1). "" where it names nobody."""
    uri = parse_uri(text)
    if isinstance(uri, TelUri):
        return uri.number.translate(_SEPARATORS)
    if uri is None:  # the host may be none; the user can be read all the same
        scheme, at, _ = text[:URI_CHARS_MAX].partition("@")
        found = _USER.match(scheme) if at else None
        name = "" if found is None else unquote(found[1], errors="replace")
    else:
        name = uri.user
    user = name.partition(";")[0]
    number = "".join(user.split())
    if number.startswith("+"):
        return number.translate(_SEPARATORS)
    return number if number.isascii() and number.isdigit() else user


def _sip(scheme: str, rest: str) -> SipUri | None:
    # the user part may hold ; and ?, so the last @ before the headers ends it
    user, at, after = rest.rpartition("@")
    if not at:
        user, after = "", rest
    name, _, _password = user.partition(":")
    if at and not name:
        return None
    after, _, headers = after.partition("?")
    host_port, _, params_text = after.partition(";")
    params = parse_params(params_text)
    place = parse_host_port(host_port)
    if params is None or place is None or any(character <= " " for character in name):
        return None
    return SipUri(
        scheme=scheme,
        user=unquote(name, errors="replace"),
        host=place[0],
        port=place[1],
        params=params,
        headers=headers,
    )


def without_blanks(uri: str) -> str:
    """The URI as its sender meant it: blanks within its user part are escaped, all others left out (RFC 4475, 3.1.2.8)."""
    if not any(character.isspace() for character in uri):
        return uri
    user, at, rest = uri.rpartition("@")
    return "%20".join(user.split()) + at + "".join(rest.split())


def parse_host_port(text: str) -> tuple[str, int | None] | None:
    """(host without brackets, port) of ``host[:port]``; None where it is none."""
    text = text.strip()
    host = _HOST.match(text)
    if host is None:
        return None
    rest = text[host.end() :].strip()
    if not rest:
        return host[0].strip("[]"), None
    port = rest[1:].strip() if rest[0] == ":" else ""
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        return None
    return host[0].strip("[]"), int(port)


PARAMS_MAX = 64
"""Parameters of one URI or header; real ones have a handful."""


def parse_params(text: str) -> dict[str, str | None] | None:
    """``a=b;c`` as a mapping with lower-case names; quoted values lose their quotes. None where there are too many."""
    params: dict[str, str | None] = {}
    if not text.strip():
        return params
    for part in split_outside_quotes(text, ";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not name:
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = unquoted(value)
        params[name] = value if equals else None
        if len(params) > PARAMS_MAX:
            return None
    return params


def written_params(params: Mapping[str, str | None]) -> str:
    """The parameters with their semicolons; values that are no tokens are quoted."""
    return "".join(
        f";{name}" if value is None else f";{name}={value if _plain(value) else quoted(value)}"
        for name, value in params.items()
    )


_PLAIN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~\[\]:/@$&()#^{|}]+")
"""Tokens, hosts, and what some write as one: a tag or a branch goes back as it came (RFC 3261, 8.2.6.2 and 12.2.1.1)."""


def _plain(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None


def quoted(text: str) -> str:
    """As a quoted string (RFC 3261, 25.1)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(text: str) -> str:
    """What stands in a quoted string."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """The parts between separators that stand in no quotes and in no angle brackets."""
    if '"' not in text and "<" not in text:
        return text.split(separator)
    parts, start, in_quotes, in_brackets, skip = [], 0, False, False, False
    for n, character in enumerate(text):
        if skip:
            skip = False
        elif in_quotes:
            if character == "\\":
                skip = True
            elif character == '"':
                in_quotes = False
        elif character == '"':
            in_quotes = True
        elif character == "<":
            in_brackets = True
        elif character == ">":
            in_brackets = False
        elif character == separator and not in_brackets:
            parts.append(text[start:n])
            start = n + 1
    parts.append(text[start:])
    return parts


def _escaped(user: str) -> str:
    return "".join(
        character
        if character in _USER_SAFE
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in user
    )

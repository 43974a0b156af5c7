"""Digest authentication (RFC 3261, 22; RFC 7616; RFC 8760), both sides: challenges read and answered, answers checked. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from ivr.sip.headers import Headers
from ivr.sip.uri import quoted, split_outside_quotes, unquoted

ALGORITHMS: dict[str, str] = {"SHA-256": "sha256", "SHA-256-SESS": "sha256", "MD5": "md5", "MD5-SESS": "md5"}
"""The preferred first (RFC 8760, 2.4)."""
AUTHENTICATE = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
"""Which header asks and which answers, by status (RFC 3261, 22.2 and 22.3)."""
CHALLENGES_MAX = 8
"""Challenges looked at in one answer."""
VALUE_CHARS_MAX = 4_096
"""A longer header value is none that a person configured."""
REALMS_MAX = 16
"""Realms remembered for one set of credentials."""

_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)\s*,?')
_NAMED = re.compile(r'(?:^|(?<=[\s,;"]))([A-Za-z0-9_-]{1,40})\s*=(?!=)\s*')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEME = re.compile(r"\s*([A-Za-z]+)\s+", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Who we are to the other side."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """One Digest challenge."""

    realm: str
    nonce: str
    opaque: str | None = None
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    stale: bool = False
    proxy: bool = False
    algorithm_named: bool = True


def parse_challenges(values: Iterable[str], *, proxy: bool) -> list[Challenge]:
    """The Digest challenges in WWW-Authenticate or Proxy-Authenticate values; what cannot be read is left out."""
    found = []
    for value in list(values)[:CHALLENGES_MAX]:
        for text in _challenges_of(value[:VALUE_CHARS_MAX]):
            parameters = asked_parameters(text)
            if "realm" not in parameters or "nonce" not in parameters:
                continue
            algorithm = parameters.get("algorithm", "MD5").upper()
            if algorithm not in ALGORITHMS:
                continue
            found.append(
                Challenge(
                    realm=parameters["realm"],
                    nonce=parameters["nonce"],
                    opaque=parameters.get("opaque"),
                    algorithm=algorithm,
                    qop=tuple(part.strip().lower() for part in parameters.get("qop", "").split(",") if part.strip()),
                    stale=parameters.get("stale", "").lower() == "true",
                    proxy=proxy,
                    algorithm_named="algorithm" in parameters,
                )
            )
    return found


def _challenges_of(value: str) -> list[str]:
    """Each challenge of one value without its scheme: a scheme is a word before a blank that no equals sign follows."""
    found: list[str] = []
    for part in split_outside_quotes(value, ","):
        scheme = _SCHEME.match(part)
        if scheme is not None and not part[scheme.end() :].lstrip().startswith("="):
            found.append(part[scheme.end() :] if scheme[1].lower() == "digest" else "")
        elif found:
            found[-1] += f",{part}"
    return [one for one in found[:CHALLENGES_MAX] if one]


def parse_parameters(text: str) -> dict[str, str] | None:
    """``name=value`` pairs, quoted or not, with lower-case names; None where it is something else."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or match.end() == at:
            return None if text[at:].strip(" ,\t") else found
        value = match[2]
        found[match[1].lower()] = unquoted(value) if value.startswith('"') else value
        at = match.end()
    return found


def asked_parameters(text: str) -> dict[str, str]:
    """The parameters of a challenge as they are meant: an unquoted value goes to where the next name begins, whatever stands in it
    (``qop=auth,auth-int``, which RFC 7616, 3.3 wants quoted), and what is no parameter is left out. Proofs are not read like this."""
    found: dict[str, str] = {}
    at = 0
    while (named := _NAMED.search(text, at)) is not None:
        at = named.end()
        name = named[1].lower()
        if text[at : at + 1] == '"' and (quote := _QUOTED.match(text, at)) is not None:
            found.setdefault(name, unquoted(quote[0]))
            at = quote.end()
            continue
        following = _NAMED.search(text, at)
        value = text[at : len(text) if following is None else following.start()]
        found.setdefault(name, value.strip(' ,;\t"'))
        at += len(value)
    return found


def answer(
    challenge: Challenge,
    credentials: Credentials,
    *,
    method: str,
    uri: str,
    body: bytes = b"",
    nonce_count: int,
    cnonce: str,
) -> str:
    """The value of the Authorization or Proxy-Authorization header."""
    qop = _qop_for(challenge)
    response = _response(
        challenge.algorithm, credentials.username, challenge.realm, credentials.password, challenge.nonce, method, uri,
        body, qop, f"{nonce_count:08x}", cnonce,
    )  # fmt: skip
    parts = [
        f"username={quoted(credentials.username)}",
        f"realm={quoted(challenge.realm)}",
        f"nonce={quoted(challenge.nonce)}",
        f"uri={quoted(uri)}",
        f'response="{response}"',
    ]
    if challenge.algorithm_named:
        parts.append(f"algorithm={_written(challenge.algorithm)}")
    if qop is not None:
        parts += [f"qop={qop}", f"nc={nonce_count:08x}", f'cnonce="{cnonce}"']
    elif challenge.algorithm.endswith("-SESS"):
        parts.append(f'cnonce="{cnonce}"')
    if challenge.opaque is not None:
        parts.append(f"opaque={quoted(challenge.opaque)}")
    return "Digest " + ", ".join(parts)


def _written(algorithm: str) -> str:
    return algorithm.replace("-SESS", "-sess")


def _qop_for(challenge: Challenge) -> str | None:
    if "auth" in challenge.qop:
        return "auth"
    return "auth-int" if "auth-int" in challenge.qop else None


def _response(
    algorithm: str, username: str, realm: str, password: str, nonce: str, method: str, uri: str, body: bytes,
    qop: str | None, nonce_count: str, cnonce: str,
) -> str:  # fmt: skip
    """RFC 7616, 3.4.1 to 3.4.3."""
    name = ALGORITHMS[algorithm]

    def digest(text: str | bytes) -> str:
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return hashlib.new(name, data, usedforsecurity=False).hexdigest()

    a1 = digest(f"{username}:{realm}:{password}")
    if algorithm.endswith("-SESS"):
        a1 = digest(f"{a1}:{nonce}:{cnonce}")
    a2 = digest(f"{method}:{uri}" + (f":{digest(body)}" if qop == "auth-int" else ""))
    if qop is None:
        return digest(f"{a1}:{nonce}:{a2}")
    return digest(f"{a1}:{nonce}:{nonce_count}:{cnonce}:{qop}:{a2}")


class Authenticator:
    """Answers challenges with one set of credentials, and remembers nonces with how often each was used."""

    def __init__(self, credentials: Credentials, cnonces: Callable[[], str]) -> None:
        self._credentials = credentials
        self._cnonces = cnonces
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    def answer(
        self, challenges: Sequence[Challenge], *, method: str, uri: str, body: bytes = b"", tried: bool = False
    ) -> str | None:
        """The header value for the best of the challenges; None where there is none that we know, or where our answer to
        it was refused already (`tried`, and the nonce is not merely stale): the password is wrong."""
        best = min(challenges, key=_preference, default=None)
        if best is None or (tried and not best.stale):
            return None
        key = (best.realm, best.nonce)
        count = self._counts.pop(key, 0) + 1
        self._counts[key] = count
        while len(self._counts) > REALMS_MAX:
            self._counts.popitem(last=False)
        return answer(
            best, self._credentials, method=method, uri=uri, body=body, nonce_count=count, cnonce=self._cnonces()
        )


Asker = tuple[str, str]
"""Who asks for credentials: the header that answers, and the realm."""


class Prover:
    """Who asked one call for credentials, and our answers: a new one for each request (RFC 3261, 22; RFC 7616, 3.4)."""

    def __init__(self, authenticator: Authenticator | None) -> None:
        self._authenticator = authenticator
        self._asked: OrderedDict[Asker, Challenge] = OrderedDict()

    def take(self, status: int, headers: Headers, tried: AbstractSet[Asker]) -> frozenset[Asker]:
        """Takes the challenges of a 401 or 407, and gives who of the askers is to be answered. Who refused our answer to this
        request before (`tried`) is not, unless its nonce was merely stale: the password is wrong."""
        if self._authenticator is None:
            return frozenset()
        asks, answers = AUTHENTICATE[status]
        challenges = parse_challenges(headers.all(asks), proxy=status == 407)
        found: dict[Asker, Challenge] = {}
        for challenge in sorted(challenges, key=_preference):
            asker = (answers, challenge.realm)
            if asker not in tried or challenge.stale:
                found.setdefault(asker, challenge)
        self._asked.update(found)
        while len(self._asked) > REALMS_MAX:
            self._asked.popitem(last=False)
        return frozenset(found)

    def headers(self, method: str, uri: str, body: bytes = b"") -> list[tuple[str, str]]:
        """The credentials of one request, for each realm that has asked (RFC 3261, 22.3)."""
        found = []
        for (name, _), challenge in self._asked.items():
            assert self._authenticator is not None
            value = self._authenticator.answer([challenge], method=method, uri=uri, body=body)
            if value is not None:
                found.append((name, value))
        return found


def _preference(challenge: Challenge) -> int:
    return list(ALGORITHMS).index(challenge.algorithm)


# --- the server's side -----------------------------------------------------------------------------------------------

NONCE_S = 300.0
"""How long a nonce of ours is good: a call is begun at once."""
REPLAYS_MAX = 10_000
"""(nonce, count) pairs remembered against replay; each is forgotten with its nonce's time."""


@dataclass(frozen=True, slots=True)
class Proved:
    """Somebody who knows the password."""

    username: str


@dataclass(frozen=True, slots=True)
class Unproved:
    """`stale`: the password was right but the nonce is used up: a new challenge says so."""

    stale: bool = False


class Verifier:
    """Challenges callers, and checks what they answer. Nonces are signed, so that none has to be kept."""

    def __init__(self, *, realm: str, credentials: Credentials, key: bytes) -> None:
        self._realm = realm
        self._credentials = credentials
        self._key = key
        self._used: OrderedDict[tuple[str, str], float] = OrderedDict()

    def challenges(self, now: float, token: str, *, stale: bool = False) -> tuple[str, ...]:
        """WWW-Authenticate values, the better algorithm first (RFC 8760, 2.4)."""
        nonce = self._signed(f"{now:.0f}.{token}")
        tail = ", stale=true" if stale else ""
        return tuple(
            f'Digest realm={quoted(self._realm)}, nonce="{nonce}", algorithm={name}, qop="auth"{tail}'
            for name in ("SHA-256", "MD5")
        )

    def check(self, authorization: str, *, method: str, uri: str, now: float) -> Proved | Unproved:
        """What an Authorization value proves. Never raises."""
        scheme, _, rest = authorization[:VALUE_CHARS_MAX].strip().partition(" ")
        given = parse_parameters(rest) if scheme.lower() == "digest" else None
        if given is None or given.get("username") != self._credentials.username:
            return Unproved()
        algorithm = given.get("algorithm", "MD5").upper()
        qop, count, cnonce, nonce = (given.get(name, "") for name in ("qop", "nc", "cnonce", "nonce"))
        if algorithm not in ("SHA-256", "MD5") or qop != "auth" or given.get("uri") != uri or len(count) != 8:
            return Unproved()
        expected = _response(
            algorithm, self._credentials.username, self._realm, self._credentials.password, nonce, method, uri, b"",
            qop, count, cnonce,
        )  # fmt: skip
        same = hmac.compare_digest(expected.encode(), given.get("response", "").encode("utf-8", "surrogateescape"))
        if not same or given.get("realm") != self._realm:
            return Unproved()
        if not self._fresh(nonce, now) or (nonce, count) in self._used:
            return Unproved(stale=True)
        self._used[nonce, count] = now
        while self._used and (len(self._used) > REPLAYS_MAX or next(iter(self._used.values())) < now - NONCE_S):
            self._used.popitem(last=False)
        return Proved(self._credentials.username)

    def _signed(self, text: str) -> str:
        octets = text.encode("utf-8", "surrogateescape")
        return f"{text}.{hmac.new(self._key, octets, hashlib.sha256).hexdigest()[:32]}"

    def _fresh(self, nonce: str, now: float) -> bool:
        text, _, _ = nonce.rpartition(".")
        made, _, _ = text.partition(".")
        ours = hmac.compare_digest(
            self._signed(text).encode("utf-8", "surrogateescape"), nonce.encode("utf-8", "surrogateescape")
        )
        return ours and made.isascii() and made.isdigit() and 0 <= now - float(made) + 1 <= NONCE_S + 1

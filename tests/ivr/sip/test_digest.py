"""Digest authentication: the examples of RFC 2069, 2617 and 7616, qop, nonce counts, and what answers our own challenges."""

from __future__ import annotations

import hashlib

import pytest

from ivr.sip.digest import (
    NONCE_S,
    Authenticator,
    Challenge,
    Credentials,
    Proved,
    Unproved,
    Verifier,
    answer,
    parse_challenges,
    parse_parameters,
)

MUFASA = Credentials(username="Mufasa", password="Circle Of Life")
MUFASA_7616 = Credentials(username="Mufasa", password="Circle of Life")
NURSE = Credentials(username="nurse", password="geheim")


def given(value: str) -> dict[str, str]:
    """What an Authorization value says."""
    assert value.startswith("Digest ")
    found = parse_parameters(value.removeprefix("Digest "))
    assert found is not None
    return found


def h(name: str, text: str) -> str:
    """The hash, independently of ours."""
    return hashlib.new(name, text.encode()).hexdigest()


# --- vectors ---------------------------------------------------------------------------------------------------------


def test_rfc_2617_3_5() -> None:
    challenge = Challenge(
        realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", qop=("auth", "auth-int"),
        opaque="5ccc069c403ebaf9f0171e9517f40e41", algorithm_named=False,
    )  # fmt: skip
    said = given(answer(challenge, MUFASA, method="GET", uri="/dir/index.html", nonce_count=1, cnonce="0a4f113b"))
    assert said["response"] == "6629fae49393a05397450978507c4ef1"
    assert said["opaque"] == "5ccc069c403ebaf9f0171e9517f40e41"
    assert (said["qop"], said["nc"], said["cnonce"]) == ("auth", "00000001", "0a4f113b")
    assert "algorithm" not in said


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_3_9_1(algorithm: str, response: str) -> None:
    challenge = Challenge(
        realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", qop=("auth", "auth-int"),
        opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", algorithm=algorithm,
    )  # fmt: skip
    value = answer(
        challenge, MUFASA_7616, method="GET", uri="/dir/index.html", nonce_count=1,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )  # fmt: skip
    assert given(value)["response"] == response
    assert given(value)["algorithm"] == algorithm


def test_rfc_2069_without_qop() -> None:
    challenge = Challenge(realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093")
    said = given(answer(challenge, MUFASA, method="GET", uri="/dir/index.html", nonce_count=1, cnonce="c"))
    a1, a2 = h("md5", "Mufasa:testrealm@host.com:Circle Of Life"), h("md5", "GET:/dir/index.html")
    assert (
        said["response"]
        == h("md5", f"{a1}:dcd98b7102dd2f0e8b11d0f600bfb0c093:{a2}")
        == "670fd8c2df070c60b045671b8b24ff02"
    )
    assert not {"qop", "nc", "cnonce"} & set(said)


@pytest.mark.parametrize(("algorithm", "name"), [("MD5", "md5"), ("SHA-256", "sha256")])
@pytest.mark.parametrize("qop", [None, "auth", "auth-int"])
@pytest.mark.parametrize("session", [False, True])
def test_every_combination_is_as_the_formula_says(algorithm: str, name: str, qop: str | None, session: bool) -> None:
    challenge = Challenge(
        realm='A "quoted" realm', nonce="n", algorithm=algorithm + ("-SESS" if session else ""),
        qop=() if qop is None else (qop,),
    )  # fmt: skip
    body = b"v=0\r\n"
    said = given(answer(challenge, NURSE, method="INVITE", uri="sip:a@b", body=body, nonce_count=26, cnonce="c"))
    a1 = h(name, 'nurse:A "quoted" realm:geheim')
    if session:
        a1 = h(name, f"{a1}:n:c")
        assert said["cnonce"] == "c"  # the other side cannot do without it
        assert said["algorithm"] == f"{algorithm}-sess"
    a2 = h(name, "INVITE:sip:a@b" + (f":{h(name, body.decode())}" if qop == "auth-int" else ""))
    middle = "n" if qop is None else f"n:0000001a:c:{qop}"
    assert said["response"] == h(name, f"{a1}:{middle}:{a2}")
    assert said.get("qop") == qop
    assert said["realm"] == 'A "quoted" realm'


def test_auth_is_preferred_to_auth_int_and_unknown_qop_is_none() -> None:
    for offered, chosen in ((("auth-int", "auth"), "auth"), (("auth-int",), "auth-int"), (("token",), None)):
        value = answer(
            Challenge(realm="r", nonce="n", qop=offered), NURSE, method="BYE", uri="sip:a", nonce_count=1, cnonce="c"
        )
        assert given(value).get("qop") == chosen


def test_umlauts_are_utf_8() -> None:
    value = answer(
        Challenge(realm="Klinik Köln", nonce="n"), Credentials(username="schwester", password="grün"), method="BYE",
        uri="sip:a", nonce_count=1, cnonce="c",
    )  # fmt: skip
    assert given(value)["response"] == h("md5", f"{h('md5', 'schwester:Klinik Köln:grün')}:n:{h('md5', 'BYE:sip:a')}")


# --- challenges ------------------------------------------------------------------------------------------------------


def test_challenges_of_one_line_and_of_many() -> None:
    one = 'Digest realm="a,b", nonce="1", qop="auth,auth-int", stale=TRUE'
    two = 'DIGEST nonce="2",algorithm=sha-256 , realm = "c" ,opaque=""'
    for values in ([one, two], [f"{one}, {two}"], [f'Basic realm="x", {one}, Bearer token, {two}']):
        found = parse_challenges(values, proxy=False)
        assert [(each.realm, each.nonce, each.algorithm) for each in found] == [
            ("a,b", "1", "MD5"),
            ("c", "2", "SHA-256"),
        ]
        assert (found[0].qop, found[0].stale, found[0].algorithm_named) == (("auth", "auth-int"), True, False)
        assert (found[1].stale, found[1].opaque, found[1].algorithm_named) == (False, "", True)


@pytest.mark.parametrize(
    "value",
    [
        "", "Digest", "Digest ", "Basic realm=x", 'Digest realm="x"', 'Digest nonce="x"', "Digest realm, nonce",
        'Digest realm="x", nonce="n", algorithm=SHA-512-256', "\0", '"' * 5_000,
    ],
)  # fmt: skip
def test_challenges_that_are_none(value: str) -> None:
    assert parse_challenges([value], proxy=True) == []


def test_the_better_algorithm_is_answered() -> None:
    values = ['Digest realm="r", nonce="m", algorithm=MD5', 'Digest realm="r", nonce="s", algorithm=SHA-256']
    value = Authenticator(NURSE, lambda: "c").answer(parse_challenges(values, proxy=False), method="BYE", uri="sip:a")
    assert value is not None
    assert (given(value)["algorithm"], given(value)["nonce"]) == ("SHA-256", "s")


def test_each_use_of_a_nonce_is_counted() -> None:
    authenticator = Authenticator(NURSE, lambda: "c")

    def count(nonce: str, tried: bool = False, stale: bool = False) -> str | None:
        challenge = Challenge(realm="r", nonce=nonce, qop=("auth",), stale=stale)
        value = authenticator.answer([challenge], method="BYE", uri="sip:a", tried=tried)
        return None if value is None else given(value)["nc"]

    assert [count("a"), count("a"), count("b"), count("a")] == ["00000001", "00000002", "00000001", "00000003"]
    assert count("a", tried=True) is None
    assert count("c", tried=True, stale=True) == "00000001"
    for n in range(100):
        count(f"x{n}")
    assert len(authenticator._counts) == 16


def test_a_password_is_in_no_representation() -> None:
    assert "geheim" not in repr(NURSE)


# --- our own challenges ----------------------------------------------------------------------------------------------


class Door:
    """A verifier and a caller."""

    def __init__(self, now: float = 10_000.0) -> None:
        self.verifier = Verifier(realm="tocsin", credentials=NURSE, key=b"k" * 32)
        self.now = now

    def challenge(self, which: int = 0, token: str = "t") -> Challenge:
        """One of the two that it sends."""
        return parse_challenges(self.verifier.challenges(self.now, token), proxy=False)[which]

    def check(self, value: str, *, method: str = "INVITE", uri: str = "sip:t@g") -> Proved | Unproved:
        """What comes of it."""
        return self.verifier.check(value, method=method, uri=uri, now=self.now)


def proof(
    challenge: Challenge,
    *,
    credentials: Credentials = NURSE,
    method: str = "INVITE",
    uri: str = "sip:t@g",
    count: int = 1,
) -> str:
    """What the caller answers."""
    return answer(challenge, credentials, method=method, uri=uri, nonce_count=count, cnonce="c")


@pytest.mark.parametrize("which", [0, 1])
def test_who_knows_the_password_is_let_in_once_per_count(which: int) -> None:
    door = Door()
    challenge = door.challenge(which)
    assert challenge.algorithm == ("SHA-256", "MD5")[which]
    assert door.check(proof(challenge)) == Proved("nurse")
    assert door.check(proof(challenge)) == Unproved(stale=True)  # replayed
    assert door.check(proof(challenge, count=2)) == Proved("nurse")
    assert door.check(proof(challenge, count=1)) == Unproved(stale=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"credentials": Credentials(username="nurse", password="falsch")},
        {"credentials": Credentials(username="other", password="geheim")},
        {"method": "BYE"},
        {"uri": "sip:other@g"},
    ],
    ids=["password", "user", "method", "uri"],
)
def test_who_does_not_is_not(wrong: dict[str, object]) -> None:
    door = Door()
    assert door.check(proof(door.challenge(), **wrong)) == Unproved(stale=False)  # type: ignore[arg-type]


def test_a_nonce_is_good_for_its_time_and_no_longer() -> None:
    for later, expected in ((NONCE_S - 1, Proved("nurse")), (NONCE_S + 2, Unproved(stale=True))):
        door = Door()
        challenge = door.challenge()
        door.now += later
        assert door.check(proof(challenge)) == expected


def test_a_nonce_of_the_future_or_of_somebody_else_is_stale() -> None:
    door = Door()
    challenge = door.challenge()
    door.now -= 100
    assert door.check(proof(challenge)) == Unproved(stale=True)
    foreign = Verifier(realm="tocsin", credentials=NURSE, key=b"x" * 32).challenges(door.now, "t")
    assert door.check(proof(parse_challenges(foreign, proxy=False)[0])) == Unproved(stale=True)
    for nonce in ("", ".", "..", "9999.t.", "x.y.z", "\u0663.t.x"):
        assert door.check(proof(Challenge(realm="tocsin", nonce=nonce, qop=("auth",)))) == Unproved(stale=True)


def test_a_nonce_cannot_be_made_younger() -> None:
    door = Door()
    challenge = door.challenge()
    door.now += 2 * NONCE_S
    made, _, rest = challenge.nonce.partition(".")
    younger = Challenge(realm="tocsin", nonce=f"{int(made) + 600}.{rest}", qop=("auth",), algorithm="SHA-256")
    assert door.check(proof(younger)) == Unproved(stale=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('realm="tocsin"', 'realm="other"'), ("qop=auth", "qop=auth-int"), ("qop=auth, ", ""), ("nc=00000001", "nc=1"),
        ("algorithm=SHA-256", "algorithm=MD5"), ("algorithm=SHA-256", "algorithm=SHA-256-sess"), ("Digest ", "Basic "),
        ('username="nurse"', 'username="nurse", username="other"'), ("response=", "answer="),
    ],
)  # fmt: skip
def test_what_is_changed_proves_nothing(old: str, new: str) -> None:
    door = Door()
    value = proof(door.challenge())
    assert old in value
    assert door.check(value.replace(old, new)) == Unproved()


@pytest.mark.parametrize(
    "value", ["", "Digest", "Digest ,", "Digest \udcff=\udcff", "x" * 100_000, 'Digest username="nurse"']
)
def test_nonsense_proves_nothing(value: str) -> None:
    assert Door().check(value) == Unproved()


def test_what_is_remembered_is_forgotten_in_time_and_bounded() -> None:
    door = Door()
    challenge = door.challenge()
    for n in range(1, 10_050):
        assert door.check(proof(challenge, count=n)) == Proved("nurse")
    assert len(door.verifier._used) == 10_000
    door.now += 2 * NONCE_S
    assert door.check(proof(door.challenge(token="later"))) == Proved("nurse")
    assert len(door.verifier._used) == 1


def test_a_stale_challenge_says_so() -> None:
    door = Door()
    assert all(one.stale for one in parse_challenges(door.verifier.challenges(door.now, "t", stale=True), proxy=False))
    assert not door.challenge().stale

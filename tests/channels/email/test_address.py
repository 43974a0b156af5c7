"""E-mail addresses: what is taken, in which form, and what is refused with which words."""

from __future__ import annotations

import pytest

from channels.channel import InvalidAddressError
from channels.email.address import domain_of, parse_address


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("duty@example.org", "duty@example.org"),
        ("Duty.Officer+Night@EXAMPLE.Org", "Duty.Officer+Night@example.org"),
        ("  duty@example.org\t", "duty@example.org"),
        ("o'brien_{x}~!#$%&*/=?^`|-@sub.mail.example.co.uk", "o'brien_{x}~!#$%&*/=?^`|-@sub.mail.example.co.uk"),
        ("root@localhost", "root@localhost"),
        ("wache@feuerwehr-münchen.de", "wache@xn--feuerwehr-mnchen-tzb.de"),
        ("wache@BÜCHER.example", "wache@xn--bcher-kva.example"),
        ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
        ("1@2.example", "1@2.example"),
    ],
)
def test_taken_addresses_are_canonical(raw: str, canonical: str) -> None:
    assert parse_address(raw) == canonical
    assert parse_address(canonical) == canonical


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", "expected an e-mail address"),
        ("x" * 300, "at most|1 to 254"),
        ("duty", "there is no @"),
        ("@example.org", "before the @"),
        ("duty@", "full domain"),
        ("duty@mailhost", "full domain"),
        ("duty@example..org", "full domain"),
        ("duty@.example.org", "full domain"),
        ("duty@example.org.", "full domain"),
        ("duty@-example.org", "full domain"),
        ("duty@exa_mple.org", "full domain"),
        ("duty@192.0.2.1", "full domain"),
        ("duty@[192.0.2.1]", "full domain"),
        ("duty@" + "a" * 64 + ".org", "full domain"),
        ("duty@exam ple.org", "full domain"),
        ("duty@example.org\r\nRCPT TO:<x@y.zz>", "before the @"),
        ("duty@example.org\r\nDATA", "full domain"),
        ("duty@example.org\n", "full domain"),
        ("duty\r\n@example.org", "before the @"),
        ("duty\0@example.org", "before the @"),
        (".duty@example.org", "before the @"),
        ("duty.@example.org", "before the @"),
        ("du..ty@example.org", "before the @"),
        ('"duty officer"@example.org', "before the @"),
        ("Duty <duty@example.org>", "before the @"),
        ("<duty@example.org>", "before the @"),
        ("a@b@example.org", "before the @"),
        ("größe@example.org", "before the @"),
        ("a" * 65 + "@example.org", "at most 64"),
        ("duty@\u2024.example", "IDNA|full domain"),
        ("duty@a\u0300\u0300.\ud800", "IDNA"),
        ("a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".example", "1 to 254"),
        ("a" * 64 + "@" + ("日月火水木金土山川田中大小本人" + ".") * 4 + "example", "at most 254"),
    ],
)
def test_refused_addresses_say_what_was_expected(raw: str, expected: str) -> None:
    with pytest.raises(InvalidAddressError, match=expected):
        parse_address(raw)


def test_the_domain_of_an_address() -> None:
    assert domain_of("duty@example.org") == "example.org"

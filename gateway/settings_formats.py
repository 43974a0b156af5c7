"""The forms that single values of the settings file have, each a type; no sections, no loading."""

from __future__ import annotations

import ipaddress
import json
import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Field, PlainValidator, SecretStr

from gateway.destinations import is_country
from gateway.pins import check_form
from gateway.settings_urls import check_postgresql_url, check_redis_url, check_sqlite_url, has_host, has_path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("expected 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit")
    return value


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(
            f'expected "address:port" with a port from 0 to 65535 (0: any free one), got {json.dumps(value)}'
        )
    return value


_IN_A_URL = re.compile(r"[^\s\x00-\x1f\x7f]+")


def _web_url(value: str) -> str:
    if not _IN_A_URL.fullmatch(value):
        raise ValueError("expected a URL without blanks and control characters")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("expected a URL with a port from 1 to 65535, and an IPv6 address in brackets") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("expected a URL with http:// or https://, a host and no user name")
    if port == 0:
        raise ValueError("expected a URL with a port from 1 to 65535")
    return value.rstrip("/")


def _store_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    is_file = url.startswith("sqlite:///") and url not in ("sqlite:///", "sqlite:///:memory:")
    if not is_file and not (url.startswith("postgresql://") and has_path(url)):
        raise ValueError('expected "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST/DATABASE"')
    if is_file:
        check_sqlite_url(url)
    else:
        check_postgresql_url(url)
    return value


def _queue_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if url != "memory:" and not (url.startswith(("redis://", "rediss://")) and has_host(url)):
        raise ValueError('expected "memory:", "redis://HOST:PORT/DATABASE" or "rediss://…" (TLS)')
    if url != "memory:":
        check_redis_url(url)
    return value


_DIALLED = re.compile(r"\+?[0-9*#]{1,20}")
_AS_WRITTEN = str.maketrans("", "", " .-()/\u00a0\u202f\u2009")
"""What people put between the digits of a number."""


def _dialled(value: str) -> str:
    number = value.replace("(0)", "").translate(_AS_WRITTEN)
    if not _DIALLED.fullmatch(number):
        raise ValueError(
            'expected a number such as "+33140000018" or "01 40 00 00 18", or an extension such as "*18", '
            f"got {json.dumps(value)}"
        )
    return number


def _country(value: str) -> str:
    if not is_country(value):
        raise ValueError(f'expected an ISO 3166 country code such as "FR", got {json.dumps(value)}')
    return value


def _network(value: Any) -> IPv4Network | IPv6Network:
    try:
        return ipaddress.ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f'expected an IP network such as "10.1.0.0/16", got {json.dumps(value)}') from None


def _address(value: str) -> str:
    channel, colon, rest = value.partition(":")
    if not colon or not channel or not rest:
        raise ValueError(f'expected an address such as "sms:+33612345678", got {json.dumps(value)}')
    return value


def _short_code(value: str) -> str:
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"expected a short code of digits, got {json.dumps(value)}")
    return value


def _number_prefix(value: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{1,13}", value):
        raise ValueError(f'expected "+", a country code and the first digits of a range, got {json.dumps(value)}')
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
        known = value != "posixrules"  # what the files call the zone of the United States' East, for old programs
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    if not known:
        close = get_close_matches(value, available_timezones(), 1, 0.5)
        meant = f", did you mean {json.dumps(close[0])}?" if close else ""
        raise ValueError(f'expected a time zone such as "Europe/Paris" or "UTC", got {json.dumps(value)}{meant}')
    return value


def _pin_hash(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        check_form(value.get_secret_value())
    return value


Name = Annotated[str, AfterValidator(_name)]
Country = Annotated[str, AfterValidator(_country)]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]
Address = Annotated[str, Field(max_length=320), AfterValidator(_address)]
ShortCode = Annotated[str, Field(min_length=2, max_length=8), AfterValidator(_short_code)]
NumberPrefix = Annotated[str, AfterValidator(_number_prefix)]
WebUrl = Annotated[str, Field(max_length=2_048), AfterValidator(_web_url)]
Listen = Annotated[str, AfterValidator(_listen)]
Dialled = Annotated[str, AfterValidator(_dialled)]
StoreUrl = Annotated[SecretStr, AfterValidator(_store_url)]
QueueUrl = Annotated[SecretStr, AfterValidator(_queue_url)]
TimeZone = Annotated[str, Field(max_length=100), AfterValidator(_time_zone)]
PinHash = Annotated[SecretStr, AfterValidator(_pin_hash)]

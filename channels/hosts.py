"""The name or address of a host as settings have it: what no resolver could read is refused. Asks nobody."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated

from pydantic import AfterValidator

_LABEL = re.compile(r"[\w-]{1,63}")  # letters of all scripts: the resolver writes them as IDNA


def host_alone(value: str) -> str:
    """The host. Raises ValueError where it has a port, a scheme, a path or blanks, or is no name (RFC 1035, 2.3.4)."""
    if ":" in value:
        try:
            ipaddress.IPv6Address(value)
        except ValueError:
            raise ValueError(_expected(value)) from None
    elif not all(_LABEL.fullmatch(label) for label in value.removesuffix(".").split(".")):
        raise ValueError(_expected(value))
    return value


def _expected(value: str) -> str:
    return f"expected the name or address of a host, without port, path or spaces, got {json.dumps(value, ensure_ascii=False)}"


HostAlone = Annotated[str, AfterValidator(host_alone)]

"""Dialogs (RFC 3261, 12): what two ends remember of a call, as values. Who sends what, and when, is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ivr.sip.headers import Headers, NameAddr, parse_name_addr
from ivr.sip.message import Request, Response
from ivr.sip.uri import SipUri, parse_uri

MAX_FORWARDS = "70"
"""RFC 3261, 8.1.1.6."""
_Q = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialog:
    """One dialog as its own side sees it. `local` and `remote` carry their tags; `routes` are the Route values in the order
    sent; `target` is the other side's Contact; `remote_cseq` is None until a request of the other side came, and the first one
    may have the number 0 (RFC 3261, 12.1.2 and 12.2.2). A dialog is early until `confirmed`."""

    call_id: str
    local: NameAddr
    remote: NameAddr
    target: str
    routes: tuple[str, ...] = ()
    local_cseq: int
    remote_cseq: int | None = None
    confirmed: bool = False
    astray: bool = False
    """Whether a Record-Route could not be read: then requests go back to where the dialog came from, which is the way that is left."""

    @property
    def id(self) -> tuple[str, str, str]:
        """Call-ID, own tag, the other side's tag (RFC 3261, 12)."""
        return self.call_id, self.local.tag or "", self.remote.tag or ""

    def next_hop(self) -> str:
        """The URI that the next request travels to first: the top of the route set, else the target (RFC 3261, 8.1.2); "" where
        that is not known."""
        if self.astray:
            return ""
        return _uri_of(self.routes[0]) if self.routes else self.target


def answered(request: Request, response: Response) -> Dialog:
    """The dialog that a 1xx or 2xx answer to our INVITE makes (RFC 3261, 12.1.2)."""
    routes, astray = _recorded(response)
    return Dialog(
        call_id=request.call_id,
        local=request.from_,
        remote=response.to,
        target=contact_uri(response) or request.uri,
        routes=tuple(reversed(routes)),
        local_cseq=request.cseq.number,
        confirmed=response.status >= 200,
        astray=astray,
    )


def requested(request: Request, local_tag: str) -> Dialog:
    """The dialog that an INVITE to us makes once it is answered with `local_tag` (RFC 3261, 12.1.1)."""
    routes, astray = _recorded(request)
    return Dialog(
        call_id=request.call_id,
        local=tagged(request.to, local_tag),
        remote=request.from_,
        target=contact_uri(request) or request.from_.uri,
        routes=routes,
        local_cseq=0,
        remote_cseq=request.cseq.number,
        confirmed=True,
        astray=astray,
    )


def next_request(
    dialog: Dialog,
    method: str,
    *,
    via: str,
    contact: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> tuple[Dialog, Request]:
    """The dialog afterwards, and its next request (RFC 3261, 12.2.1.1); the route set may be loose or strict."""
    after = replace(dialog, local_cseq=dialog.local_cseq + 1)
    return after, in_dialog(after, method, after.local_cseq, via=via, contact=contact, headers=headers, body=body)


def in_dialog(
    dialog: Dialog,
    method: str,
    cseq: int,
    *,
    via: str,
    contact: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Request:
    """A request of the dialog with a sequence number of its own choice: an ACK has that of its INVITE (RFC 3261, 13.2.2.4)."""
    uri, routes = dialog.target, list(dialog.routes)
    if routes and not _loose(routes[0]):
        # a strict router of RFC 2543: it is the request's target, the real one comes last
        uri = _uri_of(routes.pop(0))
        routes.append(f"<{dialog.target}>")
    pairs = [
        ("Via", via),
        *(("Route", route) for route in routes),
        ("Max-Forwards", MAX_FORWARDS),
        ("From", str(dialog.local)),
        ("To", str(dialog.remote)),
        ("Call-ID", dialog.call_id),
        ("CSeq", f"{cseq} {method}"),
        ("Contact", contact),
        *headers,
    ]
    return Request(method=method, uri=uri, headers=Headers(pairs), body=body)


def refreshed(dialog: Dialog, message: Request | Response) -> Dialog:
    """The dialog after a target refresh, a re-INVITE or an UPDATE (RFC 3261, 12.2.1.2; RFC 3311, 5.1)."""
    target = contact_uri(message)
    return dialog if target is None else replace(dialog, target=target)


def early_status(method: str) -> int:
    """How a request is answered that changes nothing on an early dialog; a PRACK has nothing of ours to acknowledge."""
    return {"UPDATE": 200, "OPTIONS": 200, "INFO": 200, "PRACK": 481}.get(method, 405)


def contact_uri(message: Request | Response) -> str | None:
    """The URI of the first Contact that a dialog can use; None where there is none."""
    return next((contact.uri for contact in _contacts(message)), None)


def contact_uris(message: Request | Response) -> list[str]:
    """The URIs of all Contacts that a request can go to, those with the highest q first, then as written (RFC 3261, 8.1.3.4)."""
    return [contact.uri for contact in sorted(_contacts(message), key=_preference, reverse=True)]


def _contacts(message: Request | Response) -> list[NameAddr]:
    found = [parse_name_addr(value) for value in message.headers.elements("Contact")]
    return [contact for contact in found if contact is not None and _usable(contact)]


def _recorded(message: Request | Response) -> tuple[tuple[str, ...], bool]:
    """The Record-Route values that can be read, and whether there are others."""
    written = message.headers.elements("Record-Route")
    read = tuple(value for value in written if (route := parse_name_addr(value)) is not None and _usable(route))
    return read, len(read) < len(written)


def _usable(contact: NameAddr) -> bool:
    return isinstance(parse_uri(contact.uri), SipUri)


def _preference(contact: NameAddr) -> float:
    """Its q (RFC 3261, 25.1); one that has none, or none that can be read, is as good as any."""
    written = (contact.params.get("q") or "").strip()
    return float(written) if _Q.fullmatch(written) else 1.0


def tagged(address: NameAddr, tag: str) -> NameAddr:
    """The address with this tag instead of any other."""
    return replace(address, params={**address.params, "tag": tag})


def _uri_of(route: str) -> str:
    address = parse_name_addr(route)
    return route if address is None else address.uri


def _loose(route: str) -> bool:
    uri = parse_uri(_uri_of(route))
    return isinstance(uri, SipUri) and "lr" in uri.params

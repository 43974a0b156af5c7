"""What SIP peers send, sound or damaged: messages, multiparts, session descriptions; and the credentials that both know."""

from __future__ import annotations

from hypothesis import strategies as st

from ivr.sip.digest import Credentials
from tests.ivr.sip.torture import MESSAGES

# --- messages --------------------------------------------------------------------------------------------------------

Edit = tuple[float, int, bytes]


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """The data with pieces of it, somewhere, taken out and others put in."""
    for where, length, instead in edits:
        at = int(where * len(data))
        data = data[:at] + instead + data[at + length :]
    return data


PIECES = st.sampled_from(
    [
        b"", b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b",", b";", b";;", b"<", b">", b'"', b"\\", b":", b"@", b"%",
        b"%00", b"=", b"\r\n ", b"\r\n\r\n", b"\xff", b"\xc3\xa9", b"sip:", b"99999999999", b"-1", b"SIP/2.0",
        b"[::1]", b"*",
    ]
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([0, 0, 1, 2, 10, 100]), PIECES | st.binary(max_size=6)), max_size=4
)
BODY = (
    b"v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"
    b"m=audio 30000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
)
STARTS = st.sampled_from(
    [
        f"{method} sip:tocsin@192.0.2.200 SIP/2.0"
        for method in ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE")
    ]
    + [
        "PRACK <sip:a> SIP/2.0",
        "INVITE tel:+1 SIP/2.0",
        "REGISTER x SIP/3.0",
        "SIP/2.0 200 OK",
        "SIP/2.0 999",
        "",
        "GET / HTTP/1.1",
    ]
)
NAMING = st.sampled_from(
    [
        "Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKa",
        "v: SIP / 2.0 / TLS [2001:db8::1]:5061 ; rport ; branch = z9hG4bKb , SIP/2.0/UDP x",
        "Via: SIP/2.0/UDP h",
        'Via: SIP/2.0/UDP h:99999;branch="',
        "From: <sip:a@203.0.113.9>;tag=theirs",
        "From: sip:a@b",
        "f: <tel:+1>;tag=",
        "To: <sip:tocsin@192.0.2.200>",
        "To: <sip:tocsin@192.0.2.200>;tag=t3",
        't: "\\"" <sip:x>;tag="',
        "Call-ID: one",
        "i: two",
        "Call-ID:",
        "CSeq: 1 INVITE",
        "CSeq: 2147483647 OPTIONS",
        "CSeq: 99999999999 INVITE",
        "Content-Length: 0",
        "l: 10",
        "Content-Length: 99",
        " folded, ;tag=x",
        "\tfolded",
        "no colon",
        ": no name",
    ]
).map(lambda line: line.encode("latin-1"))
TELLING = st.sampled_from(
    [
        "Contact: <sip:a@203.0.113.9:5070>",
        "Contact: <sip:a@example.org;transport=tcp>, *",
        "m: <sips:[::1]>;q=0.3",
        "Contact: <sip:a<b@1.2.3>",
        "Record-Route: <sip:203.0.113.1;lr>, <sip:strict.example>",
        "Record-Route: <",
        "Route: <sip:192.0.2.200;lr>",
        "Require: 100rel",
        "Require: timer, nothing",
        "RSeq: 1",
        "RSeq: 99999999999999",
        "Supported: timer, 100rel",
        "Session-Expires: 90;refresher=uac",
        "x: 1800;refresher=uas",
        "Session-Expires: 0",
        "Min-SE: 3600",
        "Allow: INVITE, UPDATE",
        "Reason: Q.850;cause=17;text=busy, SIP;cause=\xb2",
        "Retry-After: 18 (later);duration=9",
        'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=SHA-256',
        'Proxy-Authenticate: Digest realm="r", nonce="n", stale=true, Basic realm="x"',
        "WWW-Authenticate: Digest",
        "Authorization: Digest username=u",
        "Content-Type: application/sdp",
        "c: multipart/mixed;boundary=x",
    ]
).map(lambda line: line.encode("latin-1"))
LINES = NAMING | TELLING
BODIES = st.sampled_from([b"", b"", BODY, b"Signal=5\r\nDuration=160\r\n", b"5", b"\r\n"]) | st.binary(max_size=40)
ASSEMBLED = st.builds(
    lambda start, lines, body: b"\r\n".join([start.encode(), *lines, b"", body]),
    STARTS,
    st.lists(LINES | st.binary(max_size=20), max_size=16),
    BODIES,
)
TORTURE = st.sampled_from(sorted(MESSAGES.values()))
WIRE = st.builds(edited, TORTURE | ASSEMBLED, EDITS) | st.binary(max_size=200)

# --- multiparts ------------------------------------------------------------------------------------------------------

PART_PIECES = st.sampled_from(
    [
        b"--x", b"--x", b"--x--", b"--y", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b" ", b"--", BODY,
        b"Content-Type: application/sdp\r\n\r\n", b"c: application/sdp\r\n", b"Content-Type: application/isup\r\n",
        b"Content-Disposition: signal;handling=required\r\n", b"Content-Disposition: session; handling=optional\r\n",
        b"Content-Type: multipart/alternative;boundary=y\r\n\r\n", b"Content-Type: multipart/mixed;boundary=x\r\n\r\n",
    ]
)  # fmt: skip
MULTIPARTS = st.lists(PART_PIECES, max_size=30).map(b"".join)

# --- session descriptions --------------------------------------------------------------------------------------------

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
SDP_LINES = st.sampled_from(
    [
        "m=audio 4000 RTP/AVP 0 8 101",
        "m=audio 0 RTP/AVP 0",
        "m=audio 65535/2 RTP/SAVP 8",
        "m=audio 70000 RTP/AVP 0",
        "m=video 4002 RTP/AVP 31",
        "m=image 4004 udptl t38",
        "m=AUDIO 4000 rtp/avp 8",
        "m=audio",
        "m=audio 1 RTP/AVP",
        "m=audio 4000 RTP/AVP 8 x 999 -1 \xb2",
        "c=IN IP4 203.0.113.9",
        "c=IN IP6 2001:db8::1",
        "c=IN IP4 0.0.0.0",
        "c=IN IP4 224.2.1.1/127/3",
        "c=",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:8 PCMU/8000/1",
        "a=rtpmap:96 pcma/8000",
        "a=rtpmap:0 PCMU/16000",
        "a=rtpmap:x",
        "a=fmtp:101 0-15",
        "a=fmtp:999999999 0",
        "a=sendonly",
        "a=recvonly",
        "a=inactive",
        "a=sendrecv",
        "a=ptime:20",
        "a=ptime:99999",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31",
        f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}",
        "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:",
        "a",
        "=",
        "",
    ]
).map(lambda line: line.encode("latin-1"))
SDP_HEAD = b"v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nt=0 0\r\n"
SDP_BODIES = (
    st.builds(
        edited,
        st.just(BODY) | st.lists(SDP_LINES, max_size=20).map(lambda lines: SDP_HEAD + b"\r\n".join(lines)),
        EDITS,
    )
    | st.lists(SDP_LINES, max_size=20).map(lambda lines: SDP_HEAD + b"c=IN IP4 203.0.113.9\r\n" + b"\r\n".join(lines))
    | st.binary(max_size=100)
)

# --- challenges ------------------------------------------------------------------------------------------------------

CREDENTIALS = Credentials(username='us"er', password="pass")

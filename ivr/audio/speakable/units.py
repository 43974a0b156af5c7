"""Units of measure: how they are written, and the name that each language has a noun for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ivr.audio.speakable.tables import spellings, table, words

PREFIXES: Final = ("T", "G", "M", "k", "h", "d", "c", "m", "µ", "n", "Ki", "Mi", "Gi", "Ti")
"""Of the SI and, for bytes, of IEC 80000-13."""

_BASES: Final[Mapping[str, str]] = table(
    """
    m = k d c m µ n
    m² = k c m
    m³ = d c m
    g = k m µ n
    t
    l = h d c m µ
    s = m µ n
    min
    h
    day
    Pa = G M k h
    bar = m k M
    barg = m
    bara = m
    psi
    mmHg
    V = M k m µ
    A = k m µ
    W = G M k m
    Wh = T G M k
    VA = M k
    var = M k
    Ah = m
    F = m µ n
    Ω = M k m
    Hz = G M k
    N = M k
    Nm = k
    J = M k
    S = m µ
    Sv = m µ n
    Bq = G M k
    Gy = m µ
    cd
    lx = k
    lm
    mol = m µ
    K = m
    °C
    °F
    °
    B = T G M k Ki Mi Gi Ti
    bit = T G M k
    dB
    dBA
    dBm
    ppm
    ppb
    %
    ‰
    %RH
    %LEL
    %vol
    rev
    IU
    Nm³
    NTU
    VDC
    VAC
    in
    ft
    mi
    lb
    gal
    EUR = k M
    USD = k M
    GBP = k M
    CHF
    JPY
    """
)
"""Names of units, and the prefixes that each may have."""
NAMES: Final = tuple(_BASES)

_BELOW: Final = {"H": "h", "MIN": "min", "Min": "min", "MN": "min", "S": "s", "J": "day"}
"""Capitals that are units of time behind a slash."""
_ALONE_ONLY_PREFIXED: Final = frozenset({"S", "F", "N", "J", "B", "bit", "in"})
"""These letters alone are letters: `10 S`, `10 B`."""
_ALSO: Final[Mapping[str, str]] = spellings(
    """
    MPa = Mpa MPA
    m/s/s = m/s² m/s2
    m² = m2
    m³ = m3 M3 M³
    km² = km2
    cm² = cm2
    mm² = mm2
    dm³ = dm3
    cm³ = cm3 cc
    mm³ = mm3
    Nm³ = Nm3
    l = L
    dl = dL
    cl = cL
    ml = mL
    µl = µL
    hl = hL
    min = mn mins
    s = sec secs
    h = hr hrs
    day = j d
    bar = bars Bar BAR
    mbar = mbars MBAR mBar mBAR
    barg = bar(g) barG
    bara = bar(a) barA
    psi = PSI
    kg = Kg KG kgs
    km = Km KM
    kV = KV
    kW = KW kw
    kWh = KWh KWH kwh Kwh
    MWh = MWH
    kVA = KVA kva
    kvar = KVAR kVAr kVAR
    Hz = hz HZ
    kHz = khz KHz KHZ
    MHz = Mhz MHZ
    GHz = Ghz GHZ
    hPa = hpa
    kPa = kpa KPa
    ppm = PPM Ppm ppmv
    ppb = PPB
    ° = º deg
    °C = ºC °c ºc degC
    °F = ºF °f degF
    K = °K
    Ω = ohm ohms Ohm
    kΩ = kohm kOhm
    MΩ = Mohm MOhm
    kB = KB KO Ko ko
    kbit = Kb kb Kbit
    Mbit = Mb
    Gbit = Gb
    MB = Mo
    GB = Go
    TB = To
    MiB = Mio
    GiB = Gio
    dBA = dB(A) dba
    dB = db DB
    lx = lux Lux
    klx = klux
    %RH = %RH %HR %rH
    %LEL = %LIE %UEG %LII
    %vol = %Vol %VOL
    rev/min = rpm RPM Rpm tr/min tr/mn tpm U/min giri/min Tr/min TR/MIN TR/min trs/min Trs/min tours/min T/min tr/MN
    /min = min-1 min⁻¹ bpm BPM
    IU = UI
    IU/h = U/h
    mi/h = mph
    km/h = kmh kph kmph
    kbit/s = kbps Kbps
    Mbit/s = Mbps
    Gbit/s = Gbps
    m/s = mps
    l/min = lpm
    lb = lbs
    EUR = €
    kEUR = k€ K€
    MEUR = M€
    USD = $
    kUSD = k$ K$
    MUSD = M$
    GBP = £
    kGBP = k£
    JPY = ¥
    VDC = Vdc Vcc VCC
    VAC = Vac Vca VCA
    mmHg = mHg
    µg = ug mcg
    µm = um
    µS = uS
    µs = us usec
    ms = msec
    µA = uA
    µV = uV
    µSv = uSv
    Nm = N.m N·m
    kNm = kN.m kN·m
    """
)
"""Other spellings of one unit, or of one part of a ratio."""
FRENCH_BYTES: Final = frozenset({"Ko", "ko", "KO", "Mo", "Go", "To", "Mio", "Gio"})
"""Octets are French; elsewhere these are words."""


def _known() -> dict[str, tuple[str, str]]:
    made = {}
    for base, prefixes in _BASES.items():
        if base not in ("day", "rev"):
            made[base] = ("", base)
        for prefix in prefixes.split():
            made[prefix + base] = (prefix, base)
    made |= {
        "day": ("", "day"),
        "rev": ("", "rev"),
        "tr": ("", "rev"),
        "U": ("", "rev"),
        "B": ("", "B"),
        "bit": ("", "bit"),
    }
    return made


SPLIT: Final[Mapping[str, tuple[str, str]]] = _known()
"""Prefix and base of every unit, by its symbol."""

_PER: Final = r"(?:/[A-Za-zµ]{1,4}[²³23]?)*"
ATOM: Final = (
    r"(?:%[ \xa0]?(?:HR|RH|rH|LIE|LEL|UEG|LII|[Vv]ol)(?!\w)|(?:°|º)[CFKcf](?!\w)|[°º%‰](?![A-Za-z])"
    r"|dB\(A\)|bar\([ag]\)|k?N[.·]m(?!\w)|min(?:-1|\^-1)|[kKM]?[€$£¥]|[A-Za-zµΩ]{1,4}[²³23]?)"
)
"""What may be a unit that is no ratio; `named` says whether it is one."""
PATTERN: Final = rf"(?:{ATOM}{_PER}|/(?:min|mn|h|s|d|j|l|L|m[²³23]|k?g|day)(?![\w/]))"
"""The same with ratios, and what is counted by the hour without a unit of its own."""
NEEDS_NUMBER: Final = words(
    """
    bar bars psi min mins day deg sec secs hr hrs mol lux Lux Bar BAR var in ft mi lb lbs gal tpm To Go Mo Ko Mio
    Gio ms us Pa PA A mA Nm rev tr cd mn mps kg Kg KG KM MN cl dl hl ml um mm cm dm CHF EUR USD GBP JPY lm lx ° VA
    DB VAC VCA VCC VDC IU UI bpm BPM
    """
)
"""Written without a number these are words or a code, and so is every single letter."""


@lru_cache(maxsize=2_000)
def named(written: str) -> str | None:
    """The name of a unit as it may be written: `m3/h` is `m³/h`. Nothing for what is no unit."""
    written = written.replace("μ", "µ").replace(" ", "").replace("\xa0", "")
    written = _ALSO.get(written, written)
    if written.startswith("/"):
        below = named(written[1:])
        return f"/{below}" if below else None
    first, *others = written.split("/")
    parts = [_ALSO.get(first, first), *(_ALSO.get(part, _BELOW.get(part, part)) for part in others)]
    if len(parts) == 1:
        ok = parts[0] in SPLIT and parts[0] not in {"U", "rev", *_ALONE_ONLY_PREFIXED}
        return ("rev" if parts[0] == "tr" else parts[0]) if ok else None
    if not all(part in SPLIT for part in parts) or len(parts) > 3:
        return None
    return "/".join("rev" if part in ("tr", "U") else part for part in parts)

"""What is said in German."""

from __future__ import annotations

import re
from typing import Final

from ivr.audio.speakable.language import Language, nouns
from ivr.audio.speakable.tables import sequence, table, words

_SMALL: Final = sequence(
    """
    null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn
    achtzehn neunzehn
    """
)
_TENS: Final = sequence(
    """
    - - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig
    """
)
_SCALES: Final = (
    (10**12, "eine Billion", "Billionen"),
    (10**9, "eine Milliarde", "Milliarden"),
    (10**6, "eine Million", "Millionen"),
)


def _below_hundred(number: int, one: str) -> str:
    if number == 1:
        return one
    if number < 20:
        return _SMALL[number]
    tens, rest = divmod(number, 10)
    return f"{'ein' if rest == 1 else _SMALL[rest]} und {_TENS[tens]}" if rest else _TENS[tens]


def _below_million(number: int, one: str) -> str:
    """Its parts with blanks between them, for an engine misreads them in one long word; `one` is the last one of them."""
    thousands, rest = divmod(number, 1000)
    hundreds, rest = divmod(rest, 100)
    parts = [_below_million(thousands, "ein"), "tausend"] if thousands else []
    parts += [_below_hundred(hundreds, "ein"), "hundert"] if hundreds else []
    return " ".join([*parts, _below_hundred(rest, one)] if rest or not parts else parts)


def cardinal(number: int, feminine: bool = False) -> str:
    """The number in words; `feminine` turns the last *eins* to *eine*."""
    if number == 0:
        return _SMALL[0]
    parts = []
    for size, single, many in _SCALES:
        count, number = divmod(number, size)
        if count:
            parts.append(single if count == 1 else f"{_below_million(count, 'eins')} {many}")
    if number:
        parts.append(_below_million(number, "eine" if feminine else "eins"))
    return " ".join(parts)


def counted(said: str) -> str:
    """Before what is counted: ein Grad, hundert ein Meter."""
    return said.removesuffix("s") if said.endswith("eins") else said


_NTH: Final = {1: "ersten", 3: "dritten", 7: "siebten", 8: "achten"}


def ordinal(number: int, _ending: str) -> str | None:
    """Im dritten (Stock), am dreißigsten (November): the form that follows a preposition."""
    hundreds, rest = divmod(number, 100)
    if rest in _NTH:
        return (cardinal(hundreds * 100) + " " if hundreds else "") + _NTH[rest]
    return cardinal(number) + ("ten" if 0 < rest < 20 else "sten")


MONTHS: Final = sequence(
    """
    Januar Februar März April Mai Juni Juli August September Oktober November Dezember
    """
)


def _year(year: str) -> str:
    number = int(year)
    if len(year) == 4 and 1100 <= number < 2000:
        hundreds, rest = divmod(number, 100)
        return f"{_SMALL[hundreds]} hundert" + (f" {_below_hundred(rest, 'eins')}" if rest else "")
    return cardinal(number)


def date(day: int, month: int, year: str) -> str:
    """Am dreißigsten November zweitausendsechsundzwanzig, without what stands before it."""
    said = f"{ordinal(day, '.')} {MONTHS[month - 1]}"
    return f"{said} {_year(year)}" if year else said


def clock(hour: int, minute: int) -> str:
    """Vierzehn Uhr dreißig."""
    said = f"{counted(cardinal(hour))} Uhr"
    return f"{said} {cardinal(minute)}" if minute else said


def _joined(prefix: str, noun: str) -> str:
    """Kilometer, Quadratkilometer."""
    for power in ("Quadrat", "Kubik", "Normkubik"):
        if noun.startswith(power):
            return power + prefix + noun.removeprefix(power)
    return prefix.capitalize() + noun[0].lower() + noun[1:]


_UNITS: Final = nouns(
    """
    m = Meter
    m² = Quadratmeter
    m³ = Kubikmeter
    g = Gramm
    t = Tonne, Tonnen, f
    l = Liter
    s = Sekunde, Sekunden, f
    min = Minute, Minuten, f
    h = Stunde, Stunden, f
    day = Tag, Tage
    Pa = Pascal
    bar = Bar
    barg = Bar Überdruck
    bara = Bar absolut
    psi = P S I
    mmHg = Millimeter Quecksilber
    V = Volt
    VDC = Volt Gleichspannung
    VAC = Volt Wechselspannung
    A = Ampere
    W = Watt
    Wh = Wattstunde, Wattstunden, f
    VA = Voltampere
    var = Var Blindleistung
    Ah = Amperestunde, Amperestunden, f
    F = Farad
    Ω = Ohm
    Hz = Hertz
    N = Newton
    Nm = Newtonmeter
    J = Joule
    S = Siemens
    Sv = Sievert
    Bq = Becquerel
    Gy = Gray
    cd = Candela, Candela, f
    lx = Lux
    lm = Lumen
    mol = Mol
    K = Kelvin
    °C = Grad Celsius
    °F = Grad Fahrenheit
    ° = Grad
    B = Byte
    bit = Bit
    dB = Dezibel
    dBA = Dezibel A
    dBm = Dezibel Milliwatt
    ppm = P P M
    ppb = P P B
    % = Prozent
    ‰ = Promille
    %RH = Prozent relative Feuchte
    %LEL = Prozent der unteren Explosionsgrenze
    %vol = Volumenprozent
    IU = Einheit, Einheiten, f
    rev = Umdrehung, Umdrehungen, f
    Nm³ = Normkubikmeter
    NTU = N T U
    in = Zoll
    ft = Fuß
    mi = englische Meile, englische Meilen, f
    lb = Pfund
    gal = Gallone, Gallonen, f
    EUR = Euro
    USD = Dollar
    GBP = Pfund Sterling
    CHF = Schweizer Franken
    JPY = Yen
    """
)

_SYMBOLS: Final = table(
    """
    minus = minus
    plus = plus
    plus_or_minus = plus oder minus
    minus_or_plus = minus oder plus
    times = mal
    divided_by = geteilt durch
    equals = gleich
    differs_from = ungleich
    about = ungefähr
    less = kleiner als
    more = größer als
    at_most = kleiner oder gleich
    at_least = größer oder gleich
    power = hoch
    root = Wurzel aus
    infinity = unendlich
    dash = Bindestrich
    point = Punkt
    comma = Komma
    colon = Doppelpunkt
    slash = Schrägstrich
    over = durch
    backslash = umgekehrter Schrägstrich
    underscore = Unterstrich
    at = Klammeraffe
    and = und
    number = Nummer
    hash = Raute
    star = Stern
    caret = Zirkumflex
    tilde = Tilde
    bar = senkrechter Strich
    section = Paragraf
    paragraph = Absatz
    copyright = Copyright
    trademark = Warenzeichen
    diameter = Durchmesser
    prime = Prim
    double_prime = Doppelprim
    half = ein halb
    quarter = ein Viertel
    three_quarters = drei Viertel
    arrow = Pfeil
    arrow_left = Pfeil nach links
    arrow_up = Pfeil nach oben
    arrow_down = Pfeil nach unten
    arrow_both = Doppelpfeil
    to = bis
    link = ein Link zu
    port = Port
    sign = Zeichen
    cut = Hier ist der Text abgeschnitten
    universal = Weltzeit
    """
)

_PICTURES: Final = table(
    """
    ⚠ = Warnzeichen
    🔥 = Feuer
    🚨 = Blaulicht
    ✅ = grüner Haken
    ❌ = rotes Kreuz
    🟢 = grüner Kreis
    🔴 = roter Kreis
    🟡 = gelber Kreis
    🟠 = oranger Kreis
    🔵 = blauer Kreis
    ⚫ = schwarzer Kreis
    ⚪ = weißer Kreis
    🛑 = Stoppschild
    ⛔ = Einfahrt verboten
    🚫 = verboten
    ☎ = Telefon
    📞 = Telefonhörer
    📧 = E-Mail
    🔔 = Glocke
    🔕 = stumme Glocke
    💧 = Tropfen
    ❄ = Schneeflocke
    🌡 = Thermometer
    ⚡ = Blitz
    🔋 = Batterie
    🔌 = Netzstecker
    💥 = Explosion
    ☢ = radioaktiv
    ☣ = Biogefahr
    🏥 = Krankenhaus
    🚑 = Krankenwagen
    🚒 = Feuerwehr
    🚓 = Polizei
    👍 = Daumen hoch
    👎 = Daumen runter
    ✔ = Haken
    ✗ = Kreuz
    ❗ = Ausrufezeichen
    ❓ = Fragezeichen
    ⏰ = Wecker
    🔒 = geschlossenes Schloss
    🔓 = offenes Schloss
    💨 = Windstoß
    🌊 = Welle
    🛠 = Werkzeuge
    🔧 = Schraubenschlüssel
    """
)

_ABBREVIATIONS: Final = table(
    """
    temp., temp = Temperatur
    ca., ca = circa
    geb. = Gebäude
    og, o.g. = Obergeschoss
    ug, u.g. = Untergeschoss
    eg, e.g. = Erdgeschoss
    dg = Dachgeschoss
    stk., stk = Stück
    str. = Straße
    tel. = Telefon
    max., max = maximal
    min. = minimal
    mind. = mindestens
    ggf. = gegebenenfalls
    bzw. = beziehungsweise
    z.b., z. b. = zum Beispiel
    d.h., d. h. = das heißt
    u.a., u. a. = unter anderem
    usw. = und so weiter
    etc., etc = et cetera
    inkl. = inklusive
    vs., vs = gegen
    hr. = Herr
    fr. = Frau
    dr., dr = Doktor
    prof. = Professor
    abt. = Abteilung
    fa. = Firma
    anl. = Anlage
    gr. = Größe
    stör. = Störung
    ausf. = Ausfall
    verw. = Verwaltung
    std. = Stunden
    sek. = Sekunden
    mo., mo = Montag
    fr, fr. = Freitag
    jan. = Januar
    feb. = Februar
    apr. = April
    aug. = August
    sept., sep. = September
    okt. = Oktober
    nov. = November
    dez. = Dezember
    und/oder = und oder
    24/7 = rund um die Uhr an sieben Tagen
    ok = O K
    """
)

_BEFORE_NUMBERS: Final = table(
    """
    nr., nr, no., no = Nummer
    s. = Seite
    abb. = Abbildung
    art. = Artikel
    zi., zi = Zimmer
    pos., pos = Position
    ger. = Gerät
    """
)
"""Words as well, unless a number follows."""

_AFTER_NTH: Final = (
    "Stock|Stockwerk|Etage|OG|UG|Obergeschoss|Untergeschoss|Geschoss|Alarm|Meldung|Versuch|Stufe|Schicht|"
    + "|".join(MONTHS)
)

GERMAN: Final = Language(
    tag="de",
    cardinal=cardinal,
    counted=counted,
    digits=tuple(_SMALL[:10]),
    symbols=_SYMBOLS,
    pictures=_PICTURES,
    units=_UNITS,
    prefixes=table(
        """
        T = tera
        G = giga
        M = mega
        k = kilo
        h = hekto
        d = dezi
        c = zenti
        m = milli
        µ = mikro
        n = nano
        Ki = kibi
        Mi = mebi
        Gi = gibi
        Ti = tebi
        """
    ),
    per="pro",
    date=date,
    clock=clock,
    joins=_joined,
    decimal_mark=",",
    ordinal=ordinal,
    ordinal_endings=re.compile(rf"\.(?= ?(?:{_AFTER_NTH})\b)"),
    acronyms=words(
        """
        AED USV EDV BMA BMZ FSD FAT RWA ELA GA GLT ZLT NEA OP AEV ITS IMC
        """
    ),
    abbreviations=_ABBREVIATIONS,
    abbreviations_before_numbers=_BEFORE_NUMBERS,
    places=words(
        """
        raum zone gebäude geb. block tor halle stock stockwerk etage lager zimmer station einheit linie pumpe platz bereich abschnitt
        ebene typ klasse treppe flügel eingang zelle schrank rack tank behälter ofen bahn box bett tafel gruppe schleife melder
        ventil kessel kreis
        """
    ),
    lasting=words(
        """
        seit für während innerhalb in nach alle über for since
        """
    ),
    before_dates=words(
        """
        am vom zum seit bis ab dem den vor nach montag dienstag mittwoch donnerstag freitag samstag sonntag
        """
    ),
    days_and_months=frozenset(
        [
            "montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "mo", "di", "mi", "do", "fr", "sa", "so",
            *(one.lower() for one in MONTHS),
        ]
    ),
)  # fmt: skip

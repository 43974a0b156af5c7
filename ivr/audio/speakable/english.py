"""What is said in English."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ivr.audio.speakable.language import Language, nouns
from ivr.audio.speakable.tables import sequence, table, words

_SMALL: Final = sequence(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
    """
)
_TENS: Final = sequence(
    """
    - - twenty thirty forty fifty sixty seventy eighty ninety
    """
)
_SCALES: Final = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**3, "thousand"))
_ORDINALS: Final = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip


def _below_hundred(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    tens, rest = divmod(number, 10)
    return f"{_TENS[tens]}-{_SMALL[rest]}" if rest else _TENS[tens]


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    return f"{_SMALL[hundreds]} hundred" + (f" and {_below_hundred(rest)}" if rest else "")


def cardinal(number: int, _feminine: bool = False) -> str:
    """The number in words, with *and* before what is below a hundred."""
    words = []
    for size, name in _SCALES:
        count, number = divmod(number, size)
        if count:
            words += [_below_thousand(count), name]
    if number or not words:
        words += ["and"] if words and number < 100 else []
        words.append(_below_thousand(number))
    return " ".join(words)


def _nth(number: int) -> str:
    said = cardinal(number)
    start, last = re.fullmatch(r"(.*?)(\w+)", said).groups()  # type: ignore[union-attr]  # a number always ends with a word
    return start + (_ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th"))


def ordinal(number: int, _ending: str) -> str | None:
    """First, second …"""
    return _nth(number)


MONTHS: Final = sequence(
    """
    January February March April May June July August September October November December
    """
)


def _year(year: str) -> str:
    number = int(year)
    if len(year) != 4 or number < 1000 or 2000 <= number < 2010:
        return cardinal(number)
    first, last = divmod(number, 100)
    return f"{cardinal(first)} {'hundred' if last == 0 else 'oh ' + cardinal(last) if last < 10 else cardinal(last)}"


def date(day: int, month: int, year: str) -> str:
    """The thirtieth of November, twenty twenty-six."""
    said = f"the {_nth(day)} of {MONTHS[month - 1]}"
    return f"{said} {_year(year)}" if year else said


def clock(hour: int, minute: int) -> str:
    """Fourteen thirty; two oh five; fourteen o'clock."""
    if not minute:
        return f"{cardinal(hour)} o'clock"
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"


def _joined(prefix: str, noun: str) -> str:
    """Kilometres, and square kilometres."""
    before, area, after = noun.partition("square ")
    if not area:
        before, area, after = noun.partition("cubic ")
    return before + area + prefix + after if area else prefix + noun


_UNITS: Final = nouns(
    """
    m = metre, metres
    m² = square metre, square metres
    m³ = cubic metre, cubic metres
    g = gram, grams
    t = tonne, tonnes
    l = litre, litres
    s = second, seconds
    min = minute, minutes
    h = hour, hours
    day = day, days
    Pa = pascal, pascals
    bar = bar
    barg = bar gauge
    bara = bar absolute
    psi = P S I
    mmHg = millimetre of mercury, millimetres of mercury
    V = volt, volts
    VDC = volt D C, volts D C
    VAC = volt alternating, volts alternating
    A = amp, amps
    W = watt, watts
    Wh = watt hour, watt hours
    VA = volt-ampere, volt-amperes
    var = volt-ampere reactive, volt-amperes reactive
    Ah = amp hour, amp hours
    F = farad, farads
    Ω = ohm, ohms
    Hz = hertz
    N = newton, newtons
    Nm = newton metre, newton metres
    J = joule, joules
    S = siemens
    Sv = sievert, sieverts
    Bq = becquerel, becquerels
    Gy = gray, grays
    cd = candela, candelas
    lx = lux
    lm = lumen, lumens
    mol = mole, moles
    K = kelvin, kelvins
    °C = degree Celsius, degrees Celsius
    °F = degree Fahrenheit, degrees Fahrenheit
    ° = degree, degrees
    B = byte, bytes
    bit = bit, bits
    dB = decibel, decibels
    dBA = decibel weighted, decibels weighted
    dBm = decibel milliwatt, decibels milliwatt
    ppm = P P M
    ppb = P P B
    % = percent
    ‰ = per thousand
    %RH = percent relative humidity
    %LEL = percent of the lower explosive limit
    %vol = percent by volume
    IU = unit, units
    rev = revolution, revolutions
    Nm³ = normal cubic metre, normal cubic metres
    NTU = N T U
    in = inch, inches
    ft = foot, feet
    mi = mile, miles
    lb = pound, pounds
    gal = gallon, gallons
    EUR = euro, euros
    MEUR = million euros
    MUSD = million dollars
    USD = dollar, dollars
    GBP = pound sterling, pounds sterling
    CHF = Swiss franc, Swiss francs
    JPY = yen
    """
)

_SYMBOLS: Final = table(
    """
    minus = minus
    plus = plus
    plus_or_minus = plus or minus
    minus_or_plus = minus or plus
    times = times
    divided_by = divided by
    equals = equals
    differs_from = is not equal to
    about = about
    less = less than
    more = greater than
    at_most = less than or equal to
    at_least = greater than or equal to
    power = to the power of
    root = root of
    infinity = infinity
    dash = dash
    point = point
    comma = comma
    colon = colon
    slash = slash
    over = over
    backslash = backslash
    underscore = underscore
    at = at
    and = and
    number = number
    hash = hash
    star = star
    caret = caret
    tilde = tilde
    bar = vertical bar
    section = section
    paragraph = paragraph
    copyright = copyright
    trademark = trademark
    diameter = diameter
    prime = prime
    double_prime = double prime
    half = one half
    quarter = one quarter
    three_quarters = three quarters
    arrow = arrow
    arrow_left = left arrow
    arrow_up = up arrow
    arrow_down = down arrow
    arrow_both = double arrow
    to = to
    link = a link to
    port = port
    sign = sign
    cut = The text is cut off here
    universal = universal time
    """
)

_PICTURES: Final = table(
    """
    ⚠ = warning sign
    🔥 = fire
    🚨 = emergency light
    ✅ = green check mark
    ❌ = red cross
    🟢 = green circle
    🔴 = red circle
    🟡 = yellow circle
    🟠 = orange circle
    🔵 = blue circle
    ⚫ = black circle
    ⚪ = white circle
    🛑 = stop sign
    ⛔ = no entry
    🚫 = prohibited
    ☎ = telephone
    📞 = handset
    📧 = e-mail
    🔔 = bell
    🔕 = muted bell
    💧 = droplet
    ❄ = snowflake
    🌡 = thermometer
    ⚡ = lightning
    🔋 = battery
    🔌 = electric plug
    💥 = explosion
    ☢ = radioactive
    ☣ = biohazard
    🏥 = hospital
    🚑 = ambulance
    🚒 = fire engine
    🚓 = police car
    👍 = thumbs up
    👎 = thumbs down
    ✔ = check mark
    ✗ = cross mark
    ❗ = exclamation mark
    ❓ = question mark
    ⏰ = alarm clock
    🔒 = closed lock
    🔓 = open lock
    💨 = gust
    🌊 = wave
    🛠 = tools
    🔧 = wrench
    """
)

_ABBREVIATIONS: Final = table(
    """
    no. of = number of
    st. = saint
    temp., temp = temperature
    press. = pressure
    approx., approx = approximately
    bldg., bldg = building
    flr., flr = floor
    rm., rm = room
    dept., dept = department
    ref. = reference
    tel. = telephone
    max., max = maximum
    min. = minimum
    avg., avg = average
    vs., vs = versus
    mr, mr. = mister
    mrs, mrs. = missis
    ms. = miz
    dr, dr. = doctor
    prof. = professor
    ave. = avenue
    rd. = road
    blvd, blvd. = boulevard
    etc., etc = et cetera
    e.g., eg. = for example
    i.e., ie. = that is
    a.m. = A M
    p.m. = P M
    asap = as soon as possible
    qty, qty. = quantity
    lvl, lvl. = level
    maint. = maintenance
    elec. = electrical
    hosp. = hospital
    ext. = extension
    govt = government
    mgmt = management
    and/or = and or
    w/o = without
    w/ = with
    c/o = care of
    n/a = not available
    24/7 = twenty-four hours a day and seven days a week
    jan. = January
    feb. = February
    aug. = August
    sept. = September
    oct. = October
    nov. = November
    dec. = December
    mon. = Monday
    tue. = Tuesday
    wed. = Wednesday
    thu. = Thursday
    fri. = Friday
    ok = O K
    nr = number
    """
)

_BEFORE_NUMBERS: Final = table(
    """
    no., nr., no = number
    nos. = numbers
    p. = page
    pp. = pages
    fig. = figure
    art. = article
    ch. = chapter
    pos. = position
    jun. = June
    jul. = July
    mar. = March
    apr. = April
    sun. = Sunday
    sat. = Saturday
    nov = November
    dec = December
    jan = January
    feb = February
    oct = October
    sep = September
    """
)
"""Words as well, unless a number follows."""

ENGLISH: Final = Language(
    tag="en",
    cardinal=cardinal,
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
        h = hecto
        d = deci
        c = centi
        m = milli
        µ = micro
        n = nano
        Ki = kibi
        Mi = mebi
        Gi = gibi
        Ti = tebi
        """
    ),
    dot="dot",
    per="per",
    date=date,
    clock=clock,
    decimal_mark=".",
    groups_with=",",
    joins=_joined,
    ordinal=ordinal,
    ordinal_endings=re.compile(r"(?:st|nd|rd|th)(?!\w)", re.IGNORECASE),
    short_words=words(
        """
        in on at of to is it no or by an as go up do if me my we he us so be am ok
        """
    ),
    acronyms=words(
        """
        AED ETD FAQ ER
        """
    ),
    abbreviations=_ABBREVIATIONS,
    abbreviations_before_numbers=_BEFORE_NUMBERS,
    places=words(
        """
        room zone building block gate door hall floor bay ward unit line pump section level type class suite wing cabinet rack
        tank lane box bed table panel group loop area site cell stair staircase entrance exit platform terminal track valve
        boiler chiller plant
        """
    ),
    lasting=words(
        """
        for since within in last past every after over pendant depuis
        """
    ),
    before_dates=words(
        """
        on since until till by from before after monday tuesday wednesday thursday friday saturday sunday
        """
    ),
    days_and_months=frozenset(
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", *(one.lower() for one in MONTHS)]
    ),
    month_first=None,
    letters_inside={"A": "eh"},
    sentence_articles=frozenset("AI"),
    names_pictures=True,
)
BRITISH: Final = replace(ENGLISH, tag="en-GB", month_first=False)
AMERICAN: Final = replace(ENGLISH, tag="en-US", month_first=True)

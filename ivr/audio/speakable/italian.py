"""What is said in Italian."""

from __future__ import annotations

import re
from typing import Final

from ivr.audio.speakable.language import Language, nouns
from ivr.audio.speakable.tables import sequence, table, words

_SMALL: Final = sequence(
    """
    zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette
    diciotto diciannove
    """
)
_TENS: Final = sequence(
    """
    - - venti trenta quaranta cinquanta sessanta settanta ottanta novanta
    """
)
_SCALES: Final = (
    (10**12, "un bilione", "bilioni"),
    (10**9, "un miliardo", "miliardi"),
    (10**6, "un milione", "milioni"),
)


def _below_hundred(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    tens, rest = divmod(number, 10)
    if not rest:
        return _TENS[tens]
    stem = _TENS[tens][:-1] if rest in (1, 8) else _TENS[tens]
    return stem + ("tré" if rest == 3 else _SMALL[rest])


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    parts = [] if not hundreds else ["cento"] if hundreds == 1 else [f"{_SMALL[hundreds]}cento"]
    return " ".join([*parts, _below_hundred(rest)] if rest or not parts else parts)


def cardinal(number: int, feminine: bool = False) -> str:
    """The number in words, with blanks between hundreds and thousands; `feminine` makes *una* of *uno*."""
    parts = []
    for size, one, many in _SCALES:
        count, number = divmod(number, size)
        if count:
            parts.append(one if count == 1 else f"{counted(_below_thousand(count))} {many}")
    thousands, rest = divmod(number, 1000)
    if thousands:
        parts.append("mille" if thousands == 1 else f"{_below_thousand(thousands)} mila")
    if rest or not parts:
        said = _below_thousand(rest)
        parts.append(re.sub(r"\buno$", "una", said) if feminine else said)
    return " ".join(parts)


def counted(said: str) -> str:
    """Before what is counted: un metro, ventun metri."""
    return said[:-1] if said.endswith("uno") else said


_NTH: Final = sequence(
    """
    - primo secondo terzo quarto quinto sesto settimo ottavo nono decimo
    """
)


def ordinal(number: int, ending: str) -> str | None:
    """Primo to decimo, and feminine; beyond it people say the number."""
    if not 0 < number < len(_NTH):
        return cardinal(number)
    said = _NTH[number]
    return said[:-1] + "a" if ending in ("ª", "a") else said


MONTHS: Final = sequence(
    """
    gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
    """
)


def date(day: int, month: int, year: str) -> str:
    """Trenta novembre due mila ventisei."""
    said = f"{'primo' if day == 1 else cardinal(day)} {MONTHS[month - 1]}"
    return f"{said} {cardinal(int(year))}" if year else said


def clock(hour: int, minute: int) -> str:
    """Quattordici e trenta; due e zero cinque; quattordici in punto."""
    said = cardinal(hour, feminine=True)
    if not minute:
        return f"{said} in punto"
    return f"{said} e {'zero ' if minute < 10 else ''}{cardinal(minute)}"


_UNITS: Final = nouns(
    """
    m = metro, metri
    m² = metro quadrato, metri quadrati
    m³ = metro cubo, metri cubi
    g = grammo, grammi
    t = tonnellata, tonnellate, f
    l = litro, litri
    s = secondo, secondi
    min = minuto, minuti
    h = ora, ore, f
    day = giorno, giorni
    Pa = pascal
    bar = bar
    barg = bar relativo, bar relativi
    bara = bar assoluto, bar assoluti
    psi = P S I
    mmHg = millimetro di mercurio, millimetri di mercurio
    V = volt
    VDC = volt in continua
    VAC = volt in alternata
    A = ampere
    W = watt
    Wh = wattora
    VA = voltampere
    var = var reattivo, var reattivi
    Ah = amperora
    F = farad
    Ω = ohm
    Hz = hertz
    N = newton
    Nm = newton metro
    J = joule
    S = siemens
    Sv = sievert
    Bq = becquerel
    Gy = gray
    cd = candela, candele, f
    lx = lux
    lm = lumen
    mol = mole, moli, f
    K = kelvin
    °C = grado Celsius, gradi Celsius
    °F = grado Fahrenheit, gradi Fahrenheit
    ° = grado, gradi
    B = byte
    bit = bit
    dB = decibel
    dBA = decibel A
    dBm = decibel milliwatt
    ppm = P P M
    ppb = P P B
    % = per cento
    ‰ = per mille
    %RH = per cento di umidità relativa
    %LEL = per cento del limite di esplosività
    %vol = per cento in volume
    IU = unità, unità, f
    rev = giro, giri
    Nm³ = metro cubo normale, metri cubi normali
    NTU = N T U
    in = pollice, pollici
    ft = piede, piedi
    mi = miglio, miglia
    lb = libbra, libbre, f
    gal = gallone, galloni
    EUR = euro
    USD = dollaro, dollari
    GBP = sterlina, sterline, f
    CHF = franco svizzero, franchi svizzeri
    JPY = yen
    """
)

_SYMBOLS: Final = table(
    """
    minus = meno
    plus = più
    plus_or_minus = più o meno
    minus_or_plus = meno o più
    times = per
    divided_by = diviso
    equals = uguale a
    differs_from = diverso da
    about = circa
    less = minore di
    more = maggiore di
    at_most = minore o uguale a
    at_least = maggiore o uguale a
    power = elevato a
    root = radice di
    infinity = infinito
    dash = trattino
    point = punto
    comma = virgola
    colon = due punti
    slash = barra
    over = su
    backslash = barra rovesciata
    underscore = trattino basso
    at = chiocciola
    and = e
    number = numero
    hash = cancelletto
    star = asterisco
    caret = circonflesso
    tilde = tilde
    bar = barra verticale
    section = articolo
    paragraph = capoverso
    copyright = diritti riservati
    trademark = marchio registrato
    diameter = diametro
    prime = primo
    double_prime = doppio primo
    half = un mezzo
    quarter = un quarto
    three_quarters = tre quarti
    arrow = freccia
    arrow_left = freccia a sinistra
    arrow_up = freccia in alto
    arrow_down = freccia in basso
    arrow_both = doppia freccia
    to = a
    link = un collegamento a
    port = porta
    sign = simbolo
    cut = Il testo è tagliato qui
    universal = tempo universale
    """
)

_PICTURES: Final = table(
    """
    ⚠ = avviso
    🔥 = fuoco
    🚨 = lampeggiante
    ✅ = spunta verde
    ❌ = croce rossa
    🟢 = cerchio verde
    🔴 = cerchio rosso
    🟡 = cerchio giallo
    🟠 = cerchio arancione
    🔵 = cerchio blu
    ⚫ = cerchio nero
    ⚪ = cerchio bianco
    🛑 = segnale di stop
    ⛔ = divieto di accesso
    🚫 = vietato
    ☎ = telefono
    📞 = cornetta
    📧 = posta elettronica
    🔔 = campana
    🔕 = campana muta
    💧 = goccia
    ❄ = fiocco di neve
    🌡 = termometro
    ⚡ = fulmine
    🔋 = batteria
    🔌 = spina elettrica
    💥 = esplosione
    ☢ = radioattivo
    ☣ = rischio biologico
    🏥 = ospedale
    🚑 = ambulanza
    🚒 = vigili del fuoco
    🚓 = polizia
    👍 = pollice in su
    👎 = pollice in giù
    ✔ = spunta
    ✗ = croce
    ❗ = punto esclamativo
    ❓ = punto interrogativo
    ⏰ = sveglia
    🔒 = lucchetto chiuso
    🔓 = lucchetto aperto
    💨 = raffica
    🌊 = onda
    🛠 = attrezzi
    🔧 = chiave inglese
    """
)

_ABBREVIATIONS: Final = table(
    """
    temp., temp = temperatura
    press. = pressione
    ca., ca = circa
    ed., edif. = edificio
    rep., rep = reparto
    rif. = riferimento
    tel. = telefono
    max., max = massimo
    min. = minimo
    med. = medio
    vs., vs = contro
    sig. = signor
    sig.ra = signora
    dott., dr., dr = dottor
    dott.ssa = dottoressa
    prof. = professor
    v.le = viale
    p.zza = piazza
    ecc., ecc = eccetera
    p.es., p. es., ad es. = per esempio
    q.tà = quantità
    liv. = livello
    sx = sinistra
    dx = destra
    p.t. = piano terra
    est. = esterno
    int. = interno
    sup. = superiore
    inf. = inferiore
    manut. = manutenzione
    urg. = urgenza
    osp. = ospedale
    e/o = e o
    24/7 = ventiquattr'ore su ventiquattro, sette giorni su sette
    gen. = gennaio
    feb. = febbraio
    apr. = aprile
    giu. = giugno
    lug. = luglio
    ago. = agosto
    sett., set. = settembre
    ott. = ottobre
    nov. = novembre
    dic. = dicembre
    ok = O K
    """
)

_BEFORE_NUMBERS: Final = table(
    """
    n., n.°, n°, nº, num., no. = numero
    p., pag. = pagina
    art. = articolo
    fig. = figura
    pos., pos = posizione
    st. = stanza
    lun. = lunedì
    mar. = martedì
    mer. = mercoledì
    gio. = giovedì
    ven. = venerdì
    """
)
"""Words as well, unless a number follows."""

ITALIAN: Final = Language(
    tag="it",
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
        k = chilo
        h = etto
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
    per="per",
    date=date,
    clock=clock,
    decimal_mark=",",
    ordinal=ordinal,
    ordinal_endings=re.compile(r"[ºª](?!\w)|°(?= (?:piano|tentativo|allarme|livello)\b)"),
    acronyms=words(
        """
        UPS UTA ASL USL ATEX AES ENEL
        """
    ),
    abbreviations=_ABBREVIATIONS,
    abbreviations_before_numbers=_BEFORE_NUMBERS,
    places=words(
        """
        sala zona edificio blocco porta capannone piano molo locale stanza camera unità linea pompa posto settore sezione livello
        tipo classe scala ala ingresso cella armadio rack serbatoio vasca forno binario box letto quadro gruppo anello rivelatore
        valvola caldaia reparto
        """
    ),
    lasting=words(
        """
        per da durante in entro ultimi ultime ogni dopo for since
        """
    ),
    before_dates=words(
        """
        il dal al del fino entro prima dopo lunedì martedì mercoledì giovedì venerdì sabato domenica
        """
    ),
    days_and_months=frozenset(["lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato", "domenica", *MONTHS]),
)

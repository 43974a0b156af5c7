"""What is said in Spanish."""

from __future__ import annotations

import re
from typing import Final

from ivr.audio.speakable.language import Language, nouns
from ivr.audio.speakable.tables import sequence, table, words

_SMALL: Final = sequence(
    """
    cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete dieciocho
    diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve
    """
)
_TENS: Final = sequence(
    """
    - - - treinta cuarenta cincuenta sesenta setenta ochenta noventa
    """
)
_HUNDREDS: Final = sequence(
    """
    - ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos
    """
)


def _below_hundred(number: int) -> str:
    if number < 30:
        return _SMALL[number]
    tens, rest = divmod(number, 10)
    return f"{_TENS[tens]} y {_SMALL[rest]}" if rest else _TENS[tens]


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    if number == 100:
        return "cien"
    return f"{_HUNDREDS[hundreds]} {_below_hundred(rest)}" if rest else _HUNDREDS[hundreds]


def _below_million(number: int) -> str:
    thousands, rest = divmod(number, 1000)
    parts = [] if not thousands else ["mil"] if thousands == 1 else [counted(_below_thousand(thousands)), "mil"]
    return " ".join([*parts, _below_thousand(rest)] if rest or not parts else parts)


def cardinal(number: int, feminine: bool = False) -> str:
    """The number in words; `feminine` makes *una* and *doscientas* of *uno* and *doscientos*. The million counts in thousands."""
    billions, rest = divmod(number, 10**12)
    millions, rest = divmod(rest, 10**6)
    parts = []
    for count, one, many in ((billions, "un billón", "billones"), (millions, "un millón", "millones")):
        if count:
            parts.append(one if count == 1 else f"{counted(_below_million(count))} {many}")
    if rest or not parts:
        said = _below_million(rest)
        if feminine:
            said = re.sub(r"uno$", "una", re.sub(r"(cient|quinient)os\b", r"\1as", said))
        parts.append(said)
    return " ".join(parts)


def counted(said: str) -> str:
    """Before what is counted: un metro, veintiún metros, treinta y un metros."""
    return re.sub(r"uno$", "un", re.sub(r"veintiuno$", "veintiún", said))


_NTH: Final = sequence(
    """
    - primero segundo tercero cuarto quinto sexto séptimo octavo noveno décimo
    """
)


def ordinal(number: int, ending: str) -> str | None:
    """Primero to décimo, and feminine; beyond it people say the number."""
    if not 0 < number < len(_NTH):
        return cardinal(number)
    said = _NTH[number]
    if ending.lower().lstrip(".") in ("ª", "a", "as"):
        return said[:-1] + "a"
    return said.removesuffix("o") if ending.lower().lstrip(".") in ("er", "ᵉʳ") else said


MONTHS: Final = sequence(
    """
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    """
)


def date(day: int, month: int, year: str) -> str:
    """Treinta de noviembre de dos mil veintiséis."""
    said = f"{'primero' if day == 1 else cardinal(day)} de {MONTHS[month - 1]}"
    return f"{said} de {cardinal(int(year))}" if year else said


def clock(hour: int, minute: int) -> str:
    """Catorce treinta; dos cero cinco; catorce en punto."""
    said = cardinal(hour, feminine=True)
    if not minute:
        return f"{said} en punto"
    return f"{said} {'cero ' if minute < 10 else ''}{cardinal(minute)}"


def _joined(prefix: str, noun: str) -> str:
    """Kilómetro, kilovatio: where the stress is on the prefix it is written."""
    if noun.startswith("metro"):
        prefix = prefix[:-1] + {"o": "ó", "i": "í"}.get(prefix[-1], prefix[-1])
    return prefix + noun


_UNITS: Final = nouns(
    """
    m = metro, metros
    m² = metro cuadrado, metros cuadrados
    m³ = metro cúbico, metros cúbicos
    g = gramo, gramos
    t = tonelada, toneladas, f
    l = litro, litros
    s = segundo, segundos
    min = minuto, minutos
    h = hora, horas, f
    day = día, días
    Pa = pascal, pascales
    bar = bar, bares
    barg = bar relativo, bares relativos
    bara = bar absoluto, bares absolutos
    psi = P S I
    mmHg = milímetro de mercurio, milímetros de mercurio
    V = voltio, voltios
    VDC = voltio de continua, voltios de continua
    VAC = voltio de alterna, voltios de alterna
    A = amperio, amperios
    W = vatio, vatios
    Wh = vatio hora, vatios hora
    VA = voltiamperio, voltiamperios
    var = var reactivo, vares reactivos
    Ah = amperio hora, amperios hora
    F = faradio, faradios
    Ω = ohmio, ohmios
    Hz = hercio, hercios
    N = newton, newtons
    Nm = newton metro, newtons metro
    J = julio, julios
    S = siemens
    Sv = sievert, sieverts
    Bq = becquerel, becquereles
    Gy = gray, grays
    cd = candela, candelas, f
    lx = lux
    lm = lumen, lúmenes
    mol = mol, moles
    K = kelvin, kelvins
    °C = grado Celsius, grados Celsius
    °F = grado Fahrenheit, grados Fahrenheit
    ° = grado, grados
    B = byte, bytes
    bit = bit, bits
    dB = decibelio, decibelios
    dBA = decibelio A, decibelios A
    dBm = decibelio milivatio, decibelios milivatio
    ppm = P P M
    ppb = P P B
    % = por ciento
    ‰ = por mil
    %RH = por ciento de humedad relativa
    %LEL = por ciento del límite de explosividad
    %vol = por ciento en volumen
    IU = unidad, unidades, f
    rev = revolución, revoluciones, f
    Nm³ = metro cúbico normal, metros cúbicos normales
    NTU = N T U
    in = pulgada, pulgadas, f
    ft = pie, pies
    mi = milla, millas, f
    lb = libra, libras, f
    gal = galón, galones
    EUR = euro, euros
    USD = dólar, dólares
    GBP = libra esterlina, libras esterlinas, f
    CHF = franco suizo, francos suizos
    JPY = yen, yenes
    """
)

_SYMBOLS: Final = table(
    """
    minus = menos
    plus = más
    plus_or_minus = más o menos
    minus_or_plus = menos o más
    times = por
    divided_by = dividido por
    equals = igual a
    differs_from = distinto de
    about = aproximadamente
    less = menor que
    more = mayor que
    at_most = menor o igual que
    at_least = mayor o igual que
    power = elevado a
    root = raíz de
    infinity = infinito
    dash = guion
    point = punto
    comma = coma
    colon = dos puntos
    slash = barra
    over = sobre
    backslash = barra invertida
    underscore = guion bajo
    at = arroba
    and = y
    number = número
    hash = almohadilla
    star = asterisco
    caret = circunflejo
    tilde = virgulilla
    bar = barra vertical
    section = artículo
    paragraph = párrafo
    copyright = derechos de autor
    trademark = marca registrada
    diameter = diámetro
    prime = prima
    double_prime = doble prima
    half = un medio
    quarter = un cuarto
    three_quarters = tres cuartos
    arrow = flecha
    arrow_left = flecha a la izquierda
    arrow_up = flecha hacia arriba
    arrow_down = flecha hacia abajo
    arrow_both = flecha doble
    to = a
    link = un enlace a
    port = puerto
    sign = símbolo
    cut = El texto está cortado aquí
    universal = hora universal
    """
)

_PICTURES: Final = table(
    """
    ⚠ = advertencia
    🔥 = fuego
    🚨 = luz de emergencia
    ✅ = marca verde
    ❌ = cruz roja
    🟢 = círculo verde
    🔴 = círculo rojo
    🟡 = círculo amarillo
    🟠 = círculo naranja
    🔵 = círculo azul
    ⚫ = círculo negro
    ⚪ = círculo blanco
    🛑 = señal de alto
    ⛔ = dirección prohibida
    🚫 = prohibido
    ☎ = teléfono
    📞 = auricular
    📧 = correo electrónico
    🔔 = campana
    🔕 = campana silenciada
    💧 = gota
    ❄ = copo de nieve
    🌡 = termómetro
    ⚡ = relámpago
    🔋 = batería
    🔌 = enchufe
    💥 = explosión
    ☢ = radiactivo
    ☣ = riesgo biológico
    🏥 = hospital
    🚑 = ambulancia
    🚒 = bomberos
    🚓 = policía
    👍 = pulgar arriba
    👎 = pulgar abajo
    ✔ = marcado
    ✗ = cruz
    ❗ = signo de exclamación
    ❓ = signo de interrogación
    ⏰ = despertador
    🔒 = candado cerrado
    🔓 = candado abierto
    💨 = ráfaga
    🌊 = ola
    🛠 = herramientas
    🔧 = llave inglesa
    """
)

_ABBREVIATIONS: Final = table(
    """
    temp., temp = temperatura
    pres. = presión
    aprox., aprox = aproximadamente
    edif., edif = edificio
    hab., hab = habitación
    dpto., depto. = departamento
    ref. = referencia
    tel., tfno., tlf. = teléfono
    máx., máx, max., max = máximo
    mín., min. = mínimo
    med. = medio
    vs., vs = contra
    sr., sr = señor
    sra., sra = señora
    dr., dr = doctor
    dra., dra = doctora
    prof. = profesor
    avda., av. = avenida
    pza. = plaza
    etc., etc = etcétera
    p.ej., p. ej. = por ejemplo
    cant. = cantidad
    niv. = nivel
    izq., izq = izquierda
    dcha., dcha = derecha
    pta., pl. = planta
    ext. = exterior
    int. = interior
    sup. = superior
    inf. = inferior
    mant. = mantenimiento
    urg. = urgencias
    hosp. = hospital
    y/o = y o
    s/n = sin número
    24/7 = veinticuatro horas al día y siete días a la semana
    ene. = enero
    feb. = febrero
    abr. = abril
    jun. = junio
    jul. = julio
    ago. = agosto
    sept., sep. = septiembre
    oct. = octubre
    nov. = noviembre
    dic. = diciembre
    ok = O K
    """
)

_BEFORE_NUMBERS: Final = table(
    """
    n.º, nº, n°, núm., núm, no., no, nro. = número
    p., pág. = página
    art. = artículo
    fig. = figura
    pos., pos = posición
    lun. = lunes
    mar. = martes
    jue. = jueves
    vie. = viernes
    """
)
"""Words as well, unless a number follows."""

SPANISH: Final = Language(
    tag="es",
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
        h = hecto
        d = deci
        c = centi
        m = mili
        µ = micro
        n = nano
        Ki = kibi
        Mi = mebi
        Gi = gibi
        Ti = tebi
        """
    ),
    per="por",
    date=date,
    clock=clock,
    joins=_joined,
    decimal_mark=",",
    ordinal=ordinal,
    ordinal_endings=re.compile(r"\.?(?:[ºª]|er|[oa](?= planta| piso))(?!\w)"),
    acronyms=words(
        """
        UCI SAI UPA AES EDAR ERA RIA
        """
    ),
    abbreviations=_ABBREVIATIONS,
    abbreviations_before_numbers=_BEFORE_NUMBERS,
    places=words(
        """
        sala zona edificio edif. bloque puerta nave planta piso muelle local habitación hab. unidad línea bomba puesto sector sección
        nivel tipo clase escalera ala entrada celda armario rack tanque depósito horno vía caja cama cuadro grupo lazo detector
        válvula caldera
        """
    ),
    lasting=words(
        """
        durante desde en últimos últimas cada tras for since
        """
    ),
    before_dates=words(
        """
        el del al desde hasta antes tras lunes martes miércoles jueves viernes sábado domingo
        """
    ),
    days_and_months=frozenset(["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo", *MONTHS]),
    letters={"Y": "i griega"},
    hours_are_clock=True,
)

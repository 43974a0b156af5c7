"""What is said in French."""

from __future__ import annotations

import re
from typing import Final

from ivr.audio.speakable.language import Language, nouns
from ivr.audio.speakable.pieces import Number
from ivr.audio.speakable.tables import sequence, table, words

_SMALL: Final = sequence(
    """
    zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit
    dix-neuf
    """
)
_TENS: Final = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante"}
_SCALES: Final = ((10**12, "billion"), (10**9, "milliard"), (10**6, "million"))


def _below_hundred(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    tens, rest = divmod(number, 10)
    if number < 70:
        return _TENS[tens] + ("" if rest == 0 else " et un" if rest == 1 else f"-{_SMALL[rest]}")
    if number < 80:
        return "soixante et onze" if number == 71 else f"soixante-{_SMALL[number - 60]}"
    return "quatre-vingts" if number == 80 else f"quatre-vingt-{_SMALL[number - 80]}"


def _below_thousand(number: int, *, final: bool) -> str:
    hundreds, rest = divmod(number, 100)
    words = (
        []
        if hundreds == 0
        else ["cent"]
        if hundreds == 1
        else [_SMALL[hundreds], "cent" if rest or not final else "cents"]
    )
    if rest or not hundreds:
        said = _below_hundred(rest)
        words.append("quatre-vingt" if said == "quatre-vingts" and not final else said)
    return " ".join(words)


def cardinal(number: int, feminine: bool = False) -> str:
    """The number in words; `feminine` turns the last *un* to *une*."""
    words = []
    for size, name in _SCALES:
        count, number = divmod(number, size)
        if count:
            words += [_below_thousand(count, final=True), name + ("s" if count > 1 else "")]
    thousands, rest = divmod(number, 1000)
    if thousands:
        words += ["mille"] if thousands == 1 else [_below_thousand(thousands, final=False), "mille"]
    if rest or not words:
        words.append(_below_thousand(rest, final=True))
    said = " ".join(words)
    return (
        said + "e"
        if feminine and number % 10 == 1 and number % 100 not in (11, 71, 91) and said.endswith("un")
        else said
    )


def ordinal(number: int, ending: str) -> str | None:
    """Premier, deuxième …; plural as written."""
    plural = "s" if ending.endswith("s") else ""
    if number == 1 and ending.rstrip("s") in ("er", "ère", "ere", "re"):
        return ("premier" if ending.startswith("er") and ending.rstrip("s") == "er" else "première") + plural
    if number == 2 and ending.rstrip("s") in ("nd", "nde"):
        return f"second{'e' if ending.startswith('nde') else ''}{plural}"
    said = cardinal(number)
    for end, becomes in (
        ("quatre-vingts", "quatre-vingt"),
        ("cents", "cent"),
        ("cinq", "cinqu"),
        ("neuf", "neuv"),
        ("e", ""),
    ):
        if said.endswith(end):
            said = said[: -len(end)] + becomes
            break
    return f"{said.removesuffix('s') if said.endswith(('millions', 'milliards')) else said}ième{plural}"


MONTHS: Final = sequence(
    """
    janvier février mars avril mai juin juillet août septembre octobre novembre décembre
    """
)


def date(day: int, month: int, year: str) -> str:
    """Le 30 novembre 2026, without the article."""
    said = f"{'premier' if day == 1 else cardinal(day)} {MONTHS[month - 1]}"
    return f"{said} {cardinal(int(year))}" if year else said


def clock(hour: int, minute: int) -> str:
    """Quatorze heures trente."""
    said = f"{cardinal(hour, feminine=True)} heure{'s' if hour > 1 else ''}"
    return f"{said} {'zéro ' if minute < 10 else ''}{cardinal(minute)}" if minute else said


def _is_many(number: Number) -> bool:
    return not number.is_below_two


_UNITS: Final = nouns(
    """
    m = mètre, mètres
    m² = mètre carré, mètres carrés
    m³ = mètre cube, mètres cubes
    g = gramme, grammes
    t = tonne, tonnes, f
    l = litre, litres
    s = seconde, secondes, f
    min = minute, minutes, f
    h = heure, heures, f
    day = jour, jours
    Pa = pascal, pascals
    bar = bar, bars
    barg = bar relatif, bars relatifs
    bara = bar absolu, bars absolus
    psi = livre par pouce carré, livres par pouce carré, f
    mmHg = millimètre de mercure, millimètres de mercure
    V = volt, volts
    VDC = volt continu, volts continus
    VAC = volt alternatif, volts alternatifs
    A = ampère, ampères
    W = watt, watts
    Wh = wattheure, wattheures
    VA = voltampère, voltampères
    var = voltampère réactif, voltampères réactifs
    Ah = ampère-heure, ampères-heures
    F = farad, farads
    Ω = ohm, ohms
    Hz = hertz
    N = newton, newtons
    Nm = newton-mètre, newtons-mètres
    J = joule, joules
    S = siemens
    Sv = sievert, sieverts
    Bq = becquerel, becquerels
    Gy = gray, grays
    cd = candela, candelas, f
    lx = lux
    lm = lumen, lumens
    mol = mole, moles, f
    K = kelvin, kelvins
    °C = degré Celsius, degrés Celsius
    °F = degré Fahrenheit, degrés Fahrenheit
    ° = degré, degrés
    B = octet, octets
    bit = bit, bits
    dB = décibel, décibels
    dBA = décibel A, décibels A
    dBm = décibel milliwatt, décibels milliwatt
    ppm = P P M
    ppb = P P B
    % = pour cent
    ‰ = pour mille
    %RH = pour cent d'humidité relative
    %LEL = pour cent de la limite d'explosivité
    %vol = pour cent en volume
    IU = unité, unités
    rev = tour, tours
    Nm³ = mètre cube normal, mètres cubes normaux
    NTU = N T U
    in = pouce, pouces
    ft = pied, pieds
    mi = mille anglais, milles anglais
    lb = livre, livres, f
    gal = gallon, gallons
    EUR = euro, euros
    MEUR = million d'euros, millions d'euros
    MUSD = million de dollars, millions de dollars
    USD = dollar, dollars
    GBP = livre sterling, livres sterling, f
    CHF = franc suisse, francs suisses
    JPY = yen, yens
    """
)

_SYMBOLS: Final = table(
    """
    minus = moins
    plus = plus
    plus_or_minus = plus ou moins
    minus_or_plus = moins ou plus
    times = fois
    divided_by = divisé par
    equals = égale
    differs_from = différent de
    about = environ
    less = inférieur à
    more = supérieur à
    at_most = inférieur ou égal à
    at_least = supérieur ou égal à
    power = puissance
    root = racine de
    infinity = infini
    dash = tiret
    point = point
    comma = virgule
    colon = deux-points
    slash = slash
    over = sur
    backslash = antislash
    underscore = tiret bas
    at = arobase
    and = et
    number = numéro
    hash = dièse
    star = étoile
    caret = circonflexe
    tilde = tilde
    bar = barre verticale
    section = paragraphe
    paragraph = alinéa
    copyright = copyright
    trademark = marque déposée
    diameter = diamètre
    prime = prime
    double_prime = double prime
    half = un demi
    quarter = un quart
    three_quarters = trois quarts
    arrow = flèche
    arrow_left = flèche vers la gauche
    arrow_up = flèche vers le haut
    arrow_down = flèche vers le bas
    arrow_both = flèche double
    to = à
    link = un lien vers
    port = port
    sign = symbole
    cut = Le texte est coupé ici
    universal = temps universel
    """
)

_PICTURES: Final = table(
    """
    ⚠ = attention
    🔥 = feu
    🚨 = gyrophare
    ✅ = coché vert
    ❌ = croix rouge
    🟢 = rond vert
    🔴 = rond rouge
    🟡 = rond jaune
    🟠 = rond orange
    🔵 = rond bleu
    ⚫ = rond noir
    ⚪ = rond blanc
    🛑 = panneau stop
    ⛔ = sens interdit
    🚫 = interdit
    ☎ = téléphone
    📞 = combiné
    📧 = courriel
    🔔 = cloche
    🔕 = cloche barrée
    💧 = goutte
    ❄ = flocon
    🌡 = thermomètre
    ⚡ = éclair
    🔋 = batterie
    🔌 = prise électrique
    💥 = explosion
    ☢ = radioactif
    ☣ = risque biologique
    🏥 = hôpital
    🚑 = ambulance
    🚒 = pompiers
    🚓 = police
    👍 = pouce levé
    👎 = pouce baissé
    ✔ = coché
    ✗ = croix
    ❗ = point d'exclamation
    ❓ = point d'interrogation
    ⏰ = réveil
    🔒 = cadenas fermé
    🔓 = cadenas ouvert
    💨 = souffle
    🌊 = vague
    🛠 = outils
    🔧 = clé de serrage
    """
)

_ABBREVIATIONS: Final = table(
    """
    n°s = numéros
    MM. = messieurs
    Pr = professeur
    temp., temp, tempér., t° = température
    press. = pression
    env. = environ
    approx. = approximativement
    bât., bat., bât = bâtiment
    rdc, r.d.c., rez-de-ch. = rez-de-chaussée
    étg., étg, ét. = étage
    réf., réf, ref. = référence
    tél., tél, tel. = téléphone
    max., max = maximum
    min. = minimum
    moy. = moyenne
    vs., vs = contre
    n°, nº, n.° = numéro
    M., mr = monsieur
    mme = madame
    mlle = mademoiselle
    dr, dr. = docteur
    pr. = professeur
    st. = saint
    ste. = sainte
    av. = avenue
    bd, bd., bld. = boulevard
    rte, rte. = route
    etc., etc = et cetera
    p.ex., p. ex. = par exemple
    c.-à-d., càd = c'est-à-dire
    cf., cf = voir
    svp, s.v.p. = s'il vous plaît
    rdv = rendez-vous
    qté, qté. = quantité
    nb, nbre, nb. = nombre
    niv. = niveau
    dépt., dépt = département
    sté = société
    resp. = responsable
    maint. = maintenance
    élec., élec = électrique
    ext. = extérieur
    int. = intérieur
    sup. = supérieur
    inf. = inférieur
    urg. = urgence
    hosp. = hôpital
    ch. = chambre
    et/ou = et ou
    s/s = sous-sol
    c/o = chez
    h/24 = heures sur vingt-quatre
    j/7 = jours sur sept
    24h/24, 24/24 = vingt-quatre heures sur vingt-quatre
    7j/7, 7/7 = sept jours sur sept
    24/7 = vingt-quatre heures sur vingt-quatre et sept jours sur sept
    janv. = janvier
    févr., fév. = février
    avr. = avril
    juil. = juillet
    oct. = octobre
    nov. = novembre
    déc. = décembre
    ok = O K
    """
)

_BEFORE_NUMBERS: Final = table(
    """
    no, no. = numéro
    p. = page
    art. = article
    fig. = figure
    ch = chambre
    sept. = septembre
    lun. = lundi
    mer. = mercredi
    jeu. = jeudi
    ven. = vendredi
    sam. = samedi
    dim. = dimanche
    pos., pos = position
    """
)
"""Words as well, unless a number follows."""

FRENCH: Final = Language(
    tag="fr",
    cardinal=cardinal,
    digits=tuple(_SMALL[:10]),
    symbols=_SYMBOLS,
    pictures=_PICTURES,
    units=_UNITS,
    prefixes=table(
        """
        T = téra
        G = giga
        M = méga
        k = kilo
        h = hecto
        d = déci
        c = centi
        m = milli
        µ = micro
        n = nano
        Ki = kibi
        Mi = mébi
        Gi = gibi
        Ti = tébi
        """
    ),
    per="par",
    date=date,
    clock=clock,
    decimal_mark=",",
    decimals_read_whole=2,
    is_many=_is_many,
    ordinal=ordinal,
    ordinal_endings=re.compile(r"(?:ers?|[èe]res?|res?|nde?s?|i?[èe]mes?|es?)(?!\w)"),
    letters={"Y": "i grec", "W": "double vé"},
    short_words=words(
        """
        le la de du et en un au ou où il si se ce ne on tu je ma sa va vu pu eu as es ni
        """
    ),
    acronyms=words(
        """
        RAS COV SSI ECS SAV CHU SNCF EDF CVC VMC GTB GTC TGBT ARI EPI CTA AES IDE PCA PRA ETI IRM UPS BAES ASI RIA
        INR AVC IDM ACR UHCD USC USIC GCS ECG EEG OAP
        """
    ),
    abbreviations=_ABBREVIATIONS,
    abbreviations_before_numbers=_BEFORE_NUMBERS,
    places=words(
        """
        salle zone bâtiment bât. bat. bloc porte hall étage quai local chambre unité ligne pompe poste secteur section niveau
        type classe escalier aile entrée cellule armoire baie rack cuve réservoir four voie box lit atelier tableau coffret
        groupe boucle parking
        """
    ),
    lasting=words(
        """
        pendant depuis durant dans dernières derniers les toutes tous après for since
        """
    ),
    before_dates=words(
        """
        le du au depuis dès avant jusqu'au lundi mardi mercredi jeudi vendredi samedi dimanche
        """
    ),
    days_and_months=frozenset(["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche", *MONTHS]),
    hours_are_clock=True,
    sentence_articles=frozenset("AY"),
)

"""Numbers that a country dials as its own although they are another country's: a table of the neighbours that do so. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """What is dialled as a national number and reaches another country.

    `dialled`  how the number begins, the national prefix included.
    `dropped`  how many of these digits fall away; the others are the number's own.
    `codes`    what comes in their stead: a ``+`` and a country code; several where countries share the block.
    `whole`    whether the whole block is the other country's; if not, what that country does not have is a number at home.
    """

    dialled: str
    dropped: int
    codes: tuple[str, ...]
    whole: bool = False


_GUADELOUPE, _GUIANA, _MARTINIQUE, _REUNION, _SAINT_PIERRE = "+590", "+594", "+596", "+262", "+508"
_OVERSEAS = (_REUNION, _GUADELOUPE, _GUIANA, _MARTINIQUE)

_FRANCE = (
    *(Neighbour(dialled=f"0{block}", dropped=1, codes=(_REUNION,), whole=True) for block in ("262", "263", "269")),
    *(Neighbour(dialled=f"0{block}", dropped=1, codes=(_REUNION,), whole=True) for block in ("639", "692", "693")),
    *(Neighbour(dialled=f"0{block}", dropped=1, codes=(_GUADELOUPE,), whole=True) for block in ("590", "690", "691")),
    *(Neighbour(dialled=f"0{block}", dropped=1, codes=(_GUIANA,), whole=True) for block in ("594", "694")),
    *(Neighbour(dialled=f"0{block}", dropped=1, codes=(_MARTINIQUE,), whole=True) for block in ("596", "696", "697")),
    Neighbour(dialled="0508", dropped=4, codes=(_SAINT_PIERRE,), whole=True),
    Neighbour(dialled="0708", dropped=1, codes=(_SAINT_PIERRE,), whole=True),
    Neighbour(dialled="0268", dropped=1, codes=(_REUNION,)),
    Neighbour(dialled="0587", dropped=1, codes=(_GUADELOUPE,)),
    Neighbour(dialled="0588", dropped=1, codes=(_GUIANA,)),
    Neighbour(dialled="0589", dropped=1, codes=(_MARTINIQUE,)),
    Neighbour(dialled="0598", dropped=1, codes=_OVERSEAS),
    *(Neighbour(dialled=f"0{block}", dropped=1, codes=_OVERSEAS) for block in ("709", "939", "947", "976")),
)  # fmt: skip
"""One numbering plan and five country codes besides +33 (Arcep, decision 2018-0881): whoever is in France, Guadeloupe, Saint
Barthélemy, Saint Martin, Guiana, Martinique, Réunion, Mayotte or Saint Pierre and Miquelon dials all of them with a 0."""
_FROM_OVERSEAS = (*_FRANCE, Neighbour(dialled="0", dropped=1, codes=("+33",)))
"""What is no number there is one of metropolitan France."""

NEIGHBOURS: dict[str, tuple[Neighbour, ...]] = {
    "FR": _FRANCE,
    **dict.fromkeys(("GP", "BL", "MF", "GF", "MQ", "RE", "YT", "PM"), _FROM_OVERSEAS),
    # Northern Ireland is 028 in the United Kingdom and 048 in Ireland (ComReg, National Numbering Conventions)
    "IE": (Neighbour(dialled="048", dropped=3, codes=("+4428",)),),
    # Singapore is the area 02 of Malaysia, and Malaysia is 020 in Singapore
    "MY": (Neighbour(dialled="02", dropped=2, codes=("+65",)),),
    "SG": (Neighbour(dialled="020", dropped=3, codes=("+60",), whole=True),),
    # Kenya, Tanzania and Uganda have short prefixes for each other
    "KE": (Neighbour(dialled="006", dropped=3, codes=("+256",)), Neighbour(dialled="007", dropped=3, codes=("+255",))),
    "TZ": (
        Neighbour(dialled="005", dropped=3, codes=("+254",), whole=True),
        Neighbour(dialled="006", dropped=3, codes=("+256",), whole=True),
    ),
    "UG": (
        Neighbour(dialled="005", dropped=3, codes=("+254",), whole=True),
        Neighbour(dialled="007", dropped=3, codes=("+255",), whole=True),
    ),
}
"""By region (ISO 3166), the first that fits is taken."""

PREFIXES: dict[str, tuple[str, ...]] = {
    region: tuple(one.dialled for one in neighbours if one.dialled != "0") for region, neighbours in NEIGHBOURS.items()
}

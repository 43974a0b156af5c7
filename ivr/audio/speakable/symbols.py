"""The signs that every language has words for, by name and by how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ivr.audio.speakable.tables import sequence

NAMES: Final = sequence(
    """
    minus plus plus_or_minus minus_or_plus times divided_by equals differs_from about less more at_most at_least
    power root infinity dash point comma colon slash over backslash underscore at and number hash star caret tilde
    bar section paragraph copyright trademark diameter prime double_prime half quarter three_quarters arrow
    arrow_left arrow_up arrow_down arrow_both to link port sign cut universal
    """
)
"""What each language has to name. `over` stands between the numbers of a fraction, `to` between those of a range, `link` for an
address of a page, `sign` for a mark without a name, `cut` for the rest of a text that is too long,
`universal` for the time zone."""

WRITTEN: Final[Mapping[str, str]] = {
    "+/-": "plus_or_minus",
    "+-": "plus_or_minus",
    "-/+": "minus_or_plus",
    "±": "plus_or_minus",
    "∓": "minus_or_plus",
    "−": "minus",
    "+": "plus",
    "×": "times",
    "⋅": "times",
    "÷": "divided_by",
    "<->": "arrow_both",
    "<=>": "arrow_both",
    "-->": "arrow",
    "==>": "arrow",
    "->": "arrow",
    "=>": "arrow",
    "<--": "arrow_left",
    "<-": "arrow_left",
    "→": "arrow",
    "⇒": "arrow",
    "➔": "arrow",
    "➜": "arrow",
    "➡": "arrow",
    "⟶": "arrow",
    "←": "arrow_left",
    "⇐": "arrow_left",
    "⬅": "arrow_left",
    "↑": "arrow_up",
    "⬆": "arrow_up",
    "⇧": "arrow_up",
    "↗": "arrow_up",
    "↓": "arrow_down",
    "⬇": "arrow_down",
    "⇩": "arrow_down",
    "↘": "arrow_down",
    "↔": "arrow_both",
    "⇔": "arrow_both",
    ">=": "at_least",
    "≥": "at_least",
    "⩾": "at_least",
    "≧": "at_least",
    "<=": "at_most",
    "=<": "at_most",
    "≤": "at_most",
    "⩽": "at_most",
    "≦": "at_most",
    "<>": "differs_from",
    "!=": "differs_from",
    "=/=": "differs_from",
    "≠": "differs_from",
    "<": "less",
    "≪": "less",
    ">": "more",
    "≫": "more",
    "===": "equals",
    "==": "equals",
    "=": "equals",
    "≡": "equals",
    "≈": "about",
    "≃": "about",
    "≅": "about",
    "∼": "about",
    "~": "tilde",
    "√": "root",
    "∞": "infinity",
    "^": "caret",
    "**": "power",
    "*": "star",
    "#": "hash",
    "№": "number",
    "&&": "and",
    "&": "and",
    "@": "at",
    "_": "underscore",
    "\\": "backslash",
    "/": "slash",
    "∕": "slash",
    "⁄": "over",
    "§": "section",
    "¶": "paragraph",
    "©": "copyright",
    "®": "trademark",
    "™": "trademark",
    "⌀": "diameter",
    "∅": "diameter",
    "Ø": "diameter",
    "′": "prime",
    "″": "double_prime",
    "::": "colon",
}
"""How signs are written, longest first where one begins another."""

PICTURES: Final = tuple("⚠🔥🚨✅❌🟢🔴🟡🟠🔵⚫⚪🛑⛔🚫☎📞📧🔔🔕💧❄🌡⚡🔋🔌💥☢☣🏥🚑🚒🚓👍👎✔✗❗❓⏰🔒🔓💨🌊🛠🔧")
"""Signs with a meaning in alarms, which each language names."""

ALIKE: Final[Mapping[str, str]] = {
    "✓": "✔",
    "✘": "✗",
    "✖": "✗",
    "☑": "✔",
    "❎": "❌",
    "‼": "❗",
    "❕": "❗",
    "❔": "❓",
    "⁉": "❗",
}
"""Signs that mean the same as one of those."""

"""Tables of talks on the shipped flows: what somebody does, what the dialogue does about it, and the result."""

from __future__ import annotations

import pytest

GREETED = "start heard needs_pin=no"
GREETED_SAID = ["say greeting", "do needs_pin", "say TEXT keys_alert"]
LAST_SAID = ["do next_alert", "say goodbye", "hang up"]
ASKED = "start heard needs_pin=yes"
ASKED_SAID = ["say greeting", "do needs_pin", "say ask_pin"]
SPOKEN = "say TEXT keys_alert"

ALERT_TALKS: dict[str, tuple[str, list[str], str]] = {
    # name: (script, what was done, result)
    "1 acknowledges": (
        f"{GREETED} heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "3 takes": (
        f"{GREETED} heard 3 take=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do take", "say taken_in_charge", *LAST_SAID],
        "done",
    ),
    "9 declines": (
        f"{GREETED} heard 9 decline=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do decline", "say declined", *LAST_SAID],
        "done",
    ),
    "2 repeats": (
        f"{GREETED} heard 2 heard 2 heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, SPOKEN, SPOKEN, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "2 repeats as often as somebody presses it": (
        f"{GREETED} heard 2 heard 2 heard 2 heard 2 heard * heard * heard 1 acknowledge=recorded",
        [*GREETED_SAID, *[SPOKEN] * 4, "say TEXT:fr keys_alert:fr", SPOKEN, "do acknowledge", "say acknowledged"],
        "",
    ),
    "who presses 2 and then nothing is asked as often as the others": (
        f"{GREETED} heard silence heard silence heard 2 heard silence heard silence heard silence heard silence heard",
        [*GREETED_SAID, *[SPOKEN] * 6, "say goodbye", "hang up"],
        "no_key",
    ),
    "* changes the language of the prompts": (
        f"{GREETED} heard * heard * heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "say TEXT:fr keys_alert:fr", SPOKEN, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "a wrong key, then the right one": (
        f"{GREETED} heard 7 heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "say wrong_key keys_alert", "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "wrong keys to the end": (
        f"{GREETED} heard 7 heard # heard A heard 0 heard 4 heard",
        [*GREETED_SAID, *["say wrong_key keys_alert"] * 4, "say goodbye", "hang up"],
        "no_key",
    ),
    "a wrong key, then silence": (
        f"{GREETED} heard 7 heard silence heard silence heard silence heard silence heard",
        [*GREETED_SAID, "say wrong_key keys_alert", SPOKEN, SPOKEN, SPOKEN, "say goodbye", "hang up"],
        "no_key",
    ),
    "silence to the end": (
        f"{GREETED} heard silence heard silence heard silence heard silence heard",
        [*GREETED_SAID, SPOKEN, SPOKEN, SPOKEN, "say goodbye", "hang up"],
        "no_key",
    ),
    "a key breaks into what is said": (
        f"{GREETED} 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "hush", "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "a key breaks into the greeting, and decides nothing": (
        "start 1 needs_pin=no heard",
        ["say greeting", "hush", "do needs_pin", SPOKEN],
        "",
    ),
    "keys count for nothing while something is done": (
        f"{GREETED} heard 9 1 3 decline=recorded heard next_alert=none 1 3 9 heard",
        [*GREETED_SAID, "do decline", "say declined", *LAST_SAID],
        "done",
    ),
    "somebody else was quicker": (
        f"{GREETED} heard 1 acknowledge=elsewhere heard next_alert=none heard",
        [*GREETED_SAID, "do acknowledge", "say already_taken_by", *LAST_SAID],
        "done",
    ),
    "the alert is over": (
        f"{GREETED} heard 3 take=over heard next_alert=none heard",
        [*GREETED_SAID, "do take", "say already_over", *LAST_SAID],
        "done",
    ),
    "it could not be recorded": (
        f"{GREETED} heard 1 acknowledge=failed heard heard 1 acknowledge=recorded heard next_alert=none heard",
        [
            *GREETED_SAID, "do acknowledge", "say not_recorded", SPOKEN, "do acknowledge", "say acknowledged",
            *LAST_SAID,
        ],
        "done",
    ),
    "an outcome nobody knows is a failure": (
        f"{GREETED} heard 1 acknowledge=whatever",
        [*GREETED_SAID, "do acknowledge", "say not_recorded"],
        "",
    ),
    "recording takes too long": (
        f"{GREETED} heard 1 acknowledge!",
        [*GREETED_SAID, "do acknowledge", "say not_recorded"],
        "",
    ),
    "whether a PIN is needed is not known": (
        "start heard needs_pin! heard",
        ["say greeting", "do needs_pin", "say alert_unreadable", "hang up"],
        "failed",
    ),
    "the next alert is not known": (
        f"{GREETED} heard 1 acknowledge=recorded heard next_alert! heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "PIN right": (
        f"{ASKED} heard 1234# check_pin=ok heard 1",
        [*ASKED_SAID, "do check_pin 1234", SPOKEN, "do acknowledge"],
        "",
    ),
    "PIN right, entered while it is asked for": (
        f"{ASKED} 1234# check_pin=ok",
        [*ASKED_SAID, "hush", "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN without a hash": (
        f"{ASKED} heard 1234 silence check_pin=ok",
        [*ASKED_SAID, "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN of the greatest length": (
        f"{ASKED} heard 123456789012 check_pin=ok",
        [*ASKED_SAID, "do check_pin 123456789012", SPOKEN],
        "",
    ),
    "PIN wrong, then right": (
        f"{ASKED} heard 0000# check_pin=wrong heard heard 1234# check_pin=ok",
        [*ASKED_SAID, "do check_pin 0000", "say pin_wrong", "say ask_pin", "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN wrong to the end": (
        f"{ASKED} 1111# check_pin=wrong heard 2222# check_pin=wrong heard 3333# check_pin=wrong heard heard",
        [
            *ASKED_SAID, "hush", "do check_pin 1111", "say pin_wrong", "say ask_pin", "hush", "do check_pin 2222",
            "say pin_wrong", "say ask_pin", "hush", "do check_pin 3333", "say pin_wrong", "say goodbye", "hang up",
        ],
        "pin_wrong",
    ),
    "PIN locked": (
        f"{ASKED} heard 1111# check_pin=locked heard",
        [*ASKED_SAID, "do check_pin 1111", "say pin_locked", "hang up"],
        "pin_wrong",
    ),
    "PIN too short": (
        f"{ASKED} heard 12# heard 34 silence heard 1234# check_pin=ok",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN too short again and again": (
        f"{ASKED} heard 12# heard 12# heard 12# heard",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "say goodbye", "hang up"],
        "pin_wrong",
    ),
    "# before the PIN says nothing": (
        f"{ASKED} heard # 1234# check_pin=ok",
        [*ASKED_SAID, "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN begun in the greeting": (
        "start 4 7 needs_pin=yes 11# check_pin=ok",
        ["say greeting", "hush", "do needs_pin", "do check_pin 4711", SPOKEN],
        "",
    ),
    "PIN entered before it is known to be needed": (
        "start 4711# needs_pin=yes check_pin=ok",
        ["say greeting", "hush", "do needs_pin", "do check_pin 4711", SPOKEN],
        "",
    ),
    "PIN too short before it is asked for": (
        "start 47#11# needs_pin=yes heard 4711# check_pin=ok",
        ["say greeting", "hush", "do needs_pin", "say ask_pin", "do check_pin 4711", SPOKEN],
        "",
    ),
    "PIN begun while it is told that the last one was wrong": (
        f"{ASKED} heard 1234# check_pin=wrong 4711# check_pin=ok",
        [*ASKED_SAID, "do check_pin 1234", "say pin_wrong", "hush", "do check_pin 4711", SPOKEN],
        "",
    ),
    "# once more while the PIN is looked at": (
        f"{ASKED} heard 123456789012 # check_pin=wrong heard heard 1234# check_pin=ok",
        [*ASKED_SAID, "do check_pin 123456789012", "say pin_wrong", "say ask_pin", "do check_pin 1234", SPOKEN],
        "",
    ),
    "keys ahead of an alert decide nothing": (
        "start 1 1 needs_pin=no heard 1 1 acknowledge=recorded heard 1 next_alert=more heard heard silence",
        ["say greeting", "hush", "do needs_pin", SPOKEN, "do acknowledge", "say acknowledged", "do next_alert",
         "say next_alert", SPOKEN, SPOKEN],
        "",
    ),
    "PIN never entered": (
        f"{ASKED} heard silence heard silence heard silence heard",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "say goodbye", "hang up"],
        "pin_wrong",
    ),
    "PIN cannot be checked": (
        f"{ASKED} heard 1234# check_pin! heard",
        [*ASKED_SAID, "do check_pin 1234", "say alert_unreadable", "hang up"],
        "failed",
    ),
    "1 as the first digit of a PIN decides nothing": (
        f"{ASKED} heard 1 silence heard 3 silence heard 9 silence heard",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "say goodbye", "hang up"],
        "pin_wrong",
    ),
    "somebody else takes it while it is told": (
        f"{GREETED} by:Anna heard",
        [*GREETED_SAID, "hush", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while we wait for a key": (
        f"{GREETED} heard by:Anna 1 3 9 heard",
        [*GREETED_SAID, "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while the PIN is entered": (
        f"{ASKED} heard 12 by:Anna 34# heard",
        [*ASKED_SAID, "say completed_elsewhere", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while ours is recorded": (
        f"{GREETED} heard 1 by:Anna acknowledge=elsewhere heard",
        [*GREETED_SAID, "do acknowledge", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "it was they themselves who took it": (
        f"{GREETED} heard 1 by:Anna acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "somebody else takes it while ours takes too long": (
        f"{GREETED} heard 1 by:Anna acknowledge! heard",
        [*GREETED_SAID, "do acknowledge", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while we say goodbye": (
        f"{GREETED} heard 1 acknowledge=recorded heard next_alert=none by:Anna heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "told twice that somebody else has it": (
        f"{GREETED} by:Anna by:Bert heard",
        [*GREETED_SAID, "hush", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it before anything is said": ("by:Anna start", ["hang up"], "completed_elsewhere"),
    "hung up before the start": ("hang-up start 1", [], "hung_up"),
    "hung up while it is told": (f"{GREETED} hang-up heard 1", GREETED_SAID, "hung_up"),
    "hung up while something is done": (
        f"{GREETED} heard 1 hang-up acknowledge=recorded",
        [*GREETED_SAID, "do acknowledge"],
        "hung_up",
    ),
    "what does not fit changes nothing": (
        "heard 1 recorded start start recorded heard heard 1 needs_pin=no recorded start",
        GREETED_SAID,
        "",
    ),
}  # fmt: skip

LINE = "start heard 1234#"
LINE_SAID = ["say line_welcome", "do identify 1234"]
LINE_TALKS: dict[str, tuple[str, list[str], str]] = {
    "one alert": (
        f"{LINE} identify=ok next_alert=more heard 1 acknowledge=recorded heard next_alert=none heard",
        [*LINE_SAID, "do next_alert", SPOKEN, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "no alert": (
        f"{LINE} identify=ok next_alert=none heard",
        [*LINE_SAID, "do next_alert", "say no_open_alerts goodbye", "hang up"],
        "done",
    ),
    "not known, then known": (
        "start 999# identify=wrong heard 1234# identify=ok next_alert=none heard",
        [
            "say line_welcome", "hush", "do identify 999", "say identify_failed", "say line_welcome", "hush",
            "do identify 1234", "do next_alert", "say no_open_alerts goodbye", "hang up",
        ],
        "done",
    ),
    "not known to the end": (
        "start 111# identify=wrong heard 222# identify=wrong heard 333# identify=wrong heard heard",
        [
            "say line_welcome", "hush", "do identify 111", "say identify_failed", "say line_welcome", "hush",
            "do identify 222", "say identify_failed", "say line_welcome", "hush", "do identify 333",
            "say identify_failed", "say goodbye", "hang up",
        ],
        "no_key",
    ),
    "locked": (f"{LINE} identify=locked heard", [*LINE_SAID, "say pin_locked", "hang up"], "pin_wrong"),
    "cannot be identified": (f"{LINE} identify! heard", [*LINE_SAID, "say line_unavailable", "hang up"], "failed"),
    "alerts cannot be read": (
        f"{LINE} identify=ok next_alert=failed heard",
        [*LINE_SAID, "do next_alert", "say line_unavailable", "hang up"],
        "failed",
    ),
    "nothing entered": (
        "start heard silence heard silence heard silence heard",
        [*["say line_welcome"] * 3, "say goodbye", "hang up"],
        "no_key",
    ),
    "somebody else took it": (f"{LINE} identify=ok next_alert=more by:Anna", [
        *LINE_SAID, "do next_alert", SPOKEN, "hang up",
    ], "completed_elsewhere"),
}  # fmt: skip

ALARM = "start heard 1234#"
ALARM_SAID = ["say alarm_welcome", "do authorise 1234"]
RAISED_SAID = [*ALARM_SAID, "do raise", "do records"]
ALARM_TALKS: dict[str, tuple[str, list[str], str]] = {
    "raised and described": (
        f"{ALARM} authorise=ok raise=raised records=yes heard recorded attach=attached heard",
        [
            *RAISED_SAID, "say alarm_sent_record", "record 30", "do attach", "say alarm_recorded goodbye",
            "hang up",
        ],
        "done",
    ),
    "described until a key": (
        f"{ALARM} authorise=ok raise=raised records=yes heard 5 recorded attach=attached heard",
        [
            *RAISED_SAID, "say alarm_sent_record", "record 30", "record no more", "do attach",
            "say alarm_recorded goodbye", "hang up",
        ],
        "done",
    ),
    "no key breaks into what is to be known first": (
        f"{ALARM} authorise=ok raise=raised records=yes 5 #",
        [*RAISED_SAID, "say alarm_sent_record"],
        "",
    ),
    "raised without a recording": (
        f"{ALARM} authorise=ok raise=raised records=no heard",
        [*RAISED_SAID, "say alarm_sent goodbye", "hang up"],
        "done",
    ),
    "whether it is recorded is not known": (
        f"{ALARM} authorise=ok raise=raised records! heard",
        [*RAISED_SAID, "say alarm_sent goodbye", "hang up"],
        "done",
    ),
    "the recording is lost": (
        f"{ALARM} authorise=ok raise=raised records=yes heard recorded attach=failed heard",
        [*RAISED_SAID, "say alarm_sent_record", "record 30", "do attach", "say alarm_sent goodbye", "hang up"],
        "done",
    ),
    "it could not be raised": (
        f"{ALARM} authorise=ok raise! heard",
        [*ALARM_SAID, "do raise", "say alarm_failed", "hang up"],
        "failed",
    ),
    "hung up while it is described": (
        f"{ALARM} authorise=ok raise=raised records=yes heard hang-up recorded",
        [*RAISED_SAID, "say alarm_sent_record", "record 30", "do attach"],
        "hung_up",
    ),
    "PIN wrong to the end": (
        "start 1111# authorise=wrong heard 2222# authorise=wrong heard 3333# authorise=wrong heard heard",
        [
            "say alarm_welcome", "hush", "do authorise 1111", "say pin_wrong", "say alarm_welcome", "hush",
            "do authorise 2222", "say pin_wrong", "say alarm_welcome", "hush", "do authorise 3333",
            "say pin_wrong", "say goodbye", "hang up",
        ],
        "no_key",
    ),
    "PIN locked": (f"{ALARM} authorise=locked heard", [*ALARM_SAID, "say pin_locked", "hang up"], "pin_wrong"),
    "PIN cannot be checked": (f"{ALARM} authorise! heard", [*ALARM_SAID, "say alarm_failed", "hang up"], "failed"),
    "nothing entered": (
        "start heard silence heard silence heard silence heard",
        [*["say alarm_welcome"] * 3, "say goodbye", "hang up"],
        "no_key",
    ),
}  # fmt: skip

TALKS = [
    pytest.param(kind, *talk, id=f"{kind}: {name}")
    for kind, talks in (("alert", ALERT_TALKS), ("line", LINE_TALKS), ("alarm", ALARM_TALKS))
    for name, talk in talks.items()
]

"""What `tocsin serve` says on the phone: an engine of the test writes down the words it is given, eSpeak NG's phonemes judge them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ivr.audio.sound import Sound, write_wav
from ivr.phone import Behaviour, PhoneSimulator
from tests.ivr.audio.speakable.phonemes import phonemes
from tests.peers.waiting import eventually
from tests.proofs.server import Server
from tests.scenarios.installation import sip

WITHIN_S = 60.0
LISTENS = Behaviour(answer_s=0.05, keys="", greeting="nothing")
ENGINE = """
import json, pathlib, sys
folder, words = pathlib.Path(sys.argv[1]), sys.stdin.buffer.read().decode()
with open(folder / "spoken", "a", encoding="utf-8") as file:
    file.write(json.dumps([sys.argv[2], words]) + "\\n")
sys.stdout.buffer.write((folder / "sound.wav").read_bytes())
"""
"""Speaks any text as one second of nothing, and writes down which text it was."""


async def says(folder: Path, language: str, said: Mapping[str, str], **speech: Any) -> None:
    """An alert with each text, each to a phone of its own: these are the words that the calls are made of, and no others."""
    engine, log = folder / "engine.py", folder / "spoken"
    engine.write_text(ENGINE)
    (folder / "sound.wav").write_bytes(write_wav(Sound(bytes(16_000))))
    command = [sys.executable, "-S", str(engine), str(folder), "{language}"]
    phones = PhoneSimulator(lambda _: LISTENS)
    await phones.open()
    server = Server(folder, [sip("pbx", phones.port)], speech={"engine": "command", "command": command, **speech})
    wanted = {(language, words) for words in said.values()}

    def spoken() -> set[tuple[str, str]]:
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
        return {tuple(json.loads(line)) for line in lines if line.endswith("\n")}

    try:
        await server.set_up()
        await server.start()
        async with server.client() as http:
            for n, text in enumerate(said):
                order = {"text": text, "recipients": [f"voice:+336123456{n:02d}"], "language": language}
                async with http.post("/v1/alerts", json={**order, "priority": "emergency"}) as answer:
                    assert answer.status == 202, await answer.text()
        await eventually(lambda: len(spoken()) >= len(wanted), WITHIN_S, what=f"the sound of {len(wanted)} texts")
        await eventually(lambda: len(phones.calls) == len(said), WITHIN_S, what="a call for each text")
    finally:
        await phones.close()  # which hang up, so that the server has no call to see to its end
        await server.stop()
    assert spoken() == wanted


def all_sound_different(words: Sequence[str], language: str) -> bool:
    """Whether no two of them sound alike, wherever the engine would put the blanks."""
    heard = [phonemes(one, language).replace(" ", "") for one in words]
    return len(set(heard)) == len(heard)


async def test_case_2_1_a_sign_before_a_number_is_spoken_whatever_dash_was_typed(tmp_path: Path) -> None:
    cold = "température chambre froide trois, {0}dix-huit virgule cinq degrés Celsius depuis deux heures trente-cinq, seuil {0}vingt."
    texts = {
        f"Temp. chambre froide 3 : {dash}18,5 °C depuis 02:35, seuil {dash}20": cold.format("moins " if dash else "")
        for dash in ("-", "–", "−", "\u2011", "")
    }
    texts |= {"x=-3": "x égale moins trois.", "(-3)": "moins trois.", "temp:-18": "température, moins dix-huit."}
    texts |= {"–20": "moins vingt.", "-20": "moins vingt.", "20": "vingt."}
    assert all_sound_different([*set(texts.values()), "trois."], "fr")
    await says(tmp_path, "fr", texts)


async def test_case_2_2_a_line_end_ends_a_clause_and_joins_no_digits(tmp_path: Path) -> None:
    texts = {
        "Zone 2\n350 ppm": "Zone deux. Trois cent cinquante P P M.",
        "Zone 2350 ppm": "Zone deux mille trois cent cinquante P P M.",
        "Réservoir 4\r\n120 bar": "Réservoir quatre. Cent vingt bars.",
        "Réservoir 4\u202f120 bar": "Réservoir quatre mille cent vingt bars.",
        "2\xa0350 kW": "deux mille trois cent cinquante kilowatts.",
        "2 350 kW": "deux, trois cent cinquante kilowatts.",
    }
    assert all_sound_different(list(texts.values()), "fr")
    assert "|" in phonemes(texts["Zone 2\n350 ppm"], "fr")
    await says(tmp_path, "fr", texts)


async def test_case_2_3_comparisons_and_powers_are_words_of_the_language(tmp_path: Path) -> None:
    texts = {
        "H2S > 10 ppm": "H two S greater than ten P P M.",
        "H2S < 10 ppm": "H two S less than ten P P M.",
        "H2S ≥ 10 ppm": "H two S greater than or equal to ten P P M.",
        "H2S ≤ 10 ppm": "H two S less than or equal to ten P P M.",
        "A = 5 ‰": "eh equals five per thousand.",
        "A → 5 %": "eh arrow five percent.",
        "±2 at # 5": "plus or minus two at hash five.",
        "10⁻⁶": "ten to the power of minus six.",
        "1e-6": "one times ten to the power of minus six.",
        "1e6": "one times ten to the power of six.",
    }
    assert all_sound_different(list(texts.values()), "en")
    await says(tmp_path, "en", texts)


async def test_case_2_4_links_names_times_codes_and_abbreviations_are_said_as_people_say_them(tmp_path: Path) -> None:
    host = "S R V tiret D B tiret zéro deux point plant point example point com, dix point zéro point douze point sept"
    texts = {
        "Voir https://grafana.example.org/d/a?orgId=1&var-site=3": "Voir un lien vers grafana point example point org.",
        "srv-db-02.plant.example.com (10.0.12.7)": f"{host}.",
        "depuis 2026-11-30T02:35:00Z": "depuis trente novembre deux mille vingt-six, deux heures trente-cinq, temps universel.",
        "P-101A arrêtée": "P tiret un zéro un A arrêtée.",
        "Temp. haute, bât. C": "température haute, bâtiment C.",
        "Ch. froide, TGBT": "chambre froide, tableau général basse tension.",
    }
    site = {"fr": {'"Ch. froide"': "chambre froide", "TGBT": "tableau général basse tension"}}
    assert all_sound_different(list(texts.values()), "fr")
    await says(tmp_path, "fr", texts, abbreviations=site)

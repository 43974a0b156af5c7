"""Texts that mean different things sound different, in every language: groups of which no two members may sound alike."""

from __future__ import annotations

from itertools import combinations

import pytest

from ivr.audio.speakable import speakable
from tests.ivr.audio.speakable.phonemes import phonemes
from tests.ivr.audio.speakable.test_tables import OF_A_LANGUAGE

PAIRS_MIN = 200

GROUPS: dict[str, list[str]] = {
    "signs": ["18", "-18", "+18", "±18", "-/+18", "1.8", "-1.8", "~18", "<18", ">18"],
    "signs before a unit": ["-18,5 °C", "18,5 °C", "+18,5 °C", "±18,5 °C", "-18.5 °C", "-185 °C", "-1,85 °C", "-18,5 °F",
        "-18 °C", "-8,5 °C"],
    "signs in brackets": ["(3)", "(-3)", "(+3)", "(±3)", "(30)", "(-30)"],
    "signs behind a sign": ["x=3", "x=-3", "x=+3", "x<3", "x>3", "x<-3", "x>-3", "x!=3", "x>=3", "x<=3", "x>=-3", "x<=-3", "x~3"],
    "signs behind a colon": ["T:18", "T:-18", "T: +18", "T: 81", "T: 180"],
    "signs at a line's begin": ["T\n18", "T\n-18", "T\n+18", "T18", "T\n180"],
    "signs in a row": ["10 20", "10 -20", "-10 20", "-10 -20", "1020", "10-20", "10/20", "10,20", "10.20", "10:20", "10+20",
        "10×20", "10*-20"],
    "ranges": ["10-20", "-10-20", "10 -20", "10..-20", "20-10", "10-200", "100-20", "10-20-30"],
    "digits": ["350", "35", "3500", "305", "530", "0350", "3 50", "35 0", "3,50", "35.0", "3,5,0"],
    "leading zeros": ["7", "07", "007", "70", "700", "0.7", "0,07", "0.007"],
    "decimals": ["1,5", "1.5", "15", "1,05", "1,50", "1,005", "10,5", "1,55"],
    "great numbers": ["1000", "10000", "100000", "1000000", "1 000 000", "10 000", "1 000", "2\xa0000", "100", "1001"],
    "groups": ["12345", "12 345", "123 45", "1 2345", "12-345", "12/345", "12:345", "12\xa0346"],
    "line ends": ["Zone 2\n350 ppm", "Zone 2350 ppm", "Zone 23\n50 ppm", "Zone 2\n-350 ppm", "Zone 235\n0 ppm"],
    "line ends between words": ["40\n2", "42", "402", "40.2", "40,2", "40-2", "4\n02"],
    "tens and ones": ["60 12", "72", "6012", "60,12", "60-12"],
    "line ends behind a letter": ["Zone A\n2", "Zone A2", "Zone A\n-2", "Zone\nA2", "Zone A 2.2"],
    "hundreds": ["3 100", "300", "103", "3100", "100 3"],
    "thousands": ["2 1000", "2000", "1002", "2100", "20 100"],
    "powers": ["10^6", "10^-6", "10 6", "106", "10^60", "10^-60", "10-6", "10*6", "1.0e6", "10^66"],
    "exponents": ["1e-6", "1e+6", "1e-7", "1,1e-6", "16", "1-6", "2e-6"],
    "fractions": ["1/2", "½ + 1", "12", "1.2", "1,2", "1:2", "2/1", "1/20"],
    "percent": ["5 %", "5 ‰", "5", "5 °", "5 ppm", "50 %", "-5 %", "5 %RH", "5 %LEL", "5 %vol"],
    "temperatures": ["20 °C", "20 °F", "20 K", "20 °", "-20 °C", "20", "20 °C/h", "2 °C"],
    "pressures": ["3 bar", "3 mbar", "3 hPa", "3 kPa", "3 MPa", "3 Pa", "3 psi", "3 barg", "3 bara", "3 mmHg", "30 bar",
        "-3 bar", "0.3 bar"],
    "voltages": ["5 V", "5 kV", "5 mV", "5 MV", "5 µV", "5 VA", "5 kVA", "5 A", "5 mA", "5 µA", "5 kA", "5 VDC", "5 VAC", "-5 V",
        "55 V"],
    "powers of machines": ["5 W", "5 kW", "5 MW", "5 GW", "5 mW", "5 Wh", "5 kWh", "5 MWh", "5 kvar"],
    "lengths": ["5 m", "5 mm", "5 cm", "5 km", "5 µm", "5 m²", "5 m³", "5 dm³", "5 mm²", "5 ft", "5 dm", "5 km/h", "5 m/s", "5 min"],
    "weights": ["5 g", "5 kg", "5 mg", "5 µg", "5 t", "5 mg/l", "5 g/l", "5 mg/m³", "5 µg/m³", "5 mg/Nm³", "5 kg/h", "5 t/h"],
    "volumes": ["5 l", "5 ml", "5 hl", "5 l/min", "5 l/h", "5 l/s", "5 m³/h", "5 m³/s", "5 m³", "5 m³/min", "5 Nm³/h"],
    "frequencies": ["5 Hz", "5 kHz", "5 MHz", "5 GHz", "5 h", "50 Hz", "5 rpm", "5 /min"],
    "times that last": ["5 s", "5 ms", "5 µs", "5 min", "5 h", "5 ns", "5h5min", "5m5s", "55 s"],
    "bytes": ["5 GB", "5 MB", "5 kB", "5 TB", "5 GiB", "5 MiB", "5 Gbit", "5 Mbit/s", "5 MB/s", "5 Mbit"],
    "electricity": ["5 Ω", "5 kΩ", "5 MΩ", "5 µF", "5 nF", "5 Ah", "5 mAh", "5 µS/cm", "5 mS/cm", "5 dB", "5 dBA", "5 dBm"],
    "rays and light": ["5 Sv", "5 mSv", "5 µSv", "5 µSv/h", "5 Bq", "5 kBq", "5 Gy", "5 lx", "5 cd", "5 lm"],
    "groups of blood": ["O-", "O+", "O", "AB-", "AB+", "AB", "Rh-", "Rh+", "O Rh-", "O Rh+"],
    "doses": ["4 U/h", "4 U/min", "4 mg/h", "4 ml/h", "4 UI/ml", "4 UI", "4", "4 h", "40 U/h", "0,4 U/h", "4 l/h"],
    "one more and one less": ["N-1", "N+1", "N-2", "N 1", "N1", "2N+1", "N", "N-1 OK"],
    "cards": ["00-1A-2B-3C-4D-5E", "00-1A-2B-3C-4D-5F", "00:1A:2B:3C:4D:5E", "00-1A-2B-3C-5D-4E"],
    "concentrations": ["5 ppm", "5 ppb", "5 mol/l", "5 mmol/l", "5 mg/l", "5 NTU", "5 %"],
    "money": ["5 €", "5 $", "5 £", "5 CHF", "-5 €", "5 k€", "50 €", "0,5 €"],
    "forces": ["5 kN", "5 Nm", "5 kNm", "5 MN", "5 kJ", "5 MJ"],
    "comparisons": ["H2S > 10 ppm", "H2S < 10 ppm", "H2S ≥ 10 ppm", "H2S ≤ 10 ppm", "H2S = 10 ppm", "H2S ≠ 10 ppm",
        "H2S ≈ 10 ppm", "H2S 10 ppm", "H2S -10 ppm", "H2S ± 10 ppm", "H2S → 10 ppm"],
    "arrows": ["3 → 4", "3 ← 4", "3 ↑ 4", "3 ↓ 4", "3 ↔ 4", "3 4", "3 - 4", "3 + 4", "3 = 4", "3 < 4", "3 > 4", "3 × 4", "3 ÷ 4",
        "3 / 4"],
    "dates": ["2026-11-30", "2026-11-03", "2026-10-30", "2025-11-30", "2026-01-30", "2026-12-30", "2026-11-13", "2036-11-30"],
    "clock times": ["02:35", "02:53", "12:35", "02:30", "02:05", "20:35", "02:00", "00:02", "00:20", "2 35", "235"],
    "seconds": ["02:35:10", "02:35:01", "02:35", "02:10:35", "02:35:10.5"],
    "zones": ["2026-11-30T02:35Z", "2026-11-30T02:35+01:00", "2026-11-30T02:35-01:00", "2026-11-30T02:35",
        "2026-11-30T02:35+02:00", "2026-11-30T02:35+01:30"],
    "codes": ["P-101A", "P-101B", "P-110A", "P101A", "B-101A", "P-101", "P-1 01A", "P.101A", "P_101A", "P 101 A"],
    "gases": ["H2S", "H2O", "CO2", "CO", "O2", "NO2", "NOx", "NH3", "SO2", "CO 2"],
    "hosts": ["web-01", "web-02", "web01", "web_01", "web-10", "web-1", "web-001", "web.01"],
    "addresses": ["10.0.0.1", "10.0.0.2", "10.0.1.0", "10.0.0.11", "10.0.0.1:80", "10.0.0.1:8", "10.0.0.1/8", "100.0.0.1"],
    "addresses of six": ["fe80::1", "fe80::2", "fe80:1::", "fe8::1", "fe80::1:1", "fe80::11"],
    "names of hosts": ["a1.example.org", "a2.example.org", "a1.example.com", "a-1.example.org", "a1.example.org:80",
        "a1@example.org"],
    "telephone numbers": ["06 12 34 56 78", "06 12 34 56 79", "+33 6 12 34 56 78", "06 21 34 56 78", "06 12 34 65 78",
        "+33 6 12 34 56 87"],
    "serial numbers": ["123456789", "123456798", "12345678", "1234567890", "0123456789", "123 456 789"],
    "identifiers": ["550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440001",
        "550e8400-e29b-41d5-a716-446655440000"],
    "hashes": ["#4711", "#4712", "4711", "#471", "# 4711", "+4711", "-4711"],
    "versions": ["1.2.3", "1.2.4", "1.23", "12.3", "1.2.30", "1,2,3", "1-2-3", "1/2/3"],
    "letters": ["A1", "A2", "B1", "E1", "I1", "Y1", "G1", "J1", "V1", "W1", "C1", "K1", "Q1", "1A"],
    "zones with a letter": ["Zone A", "Zone B", "Zone C", "Zone D", "Zone E", "Zone 1", "Zone A1", "Zone AB", "Zone A B"],
    "pictures": ["🟢", "🔴", "🟡", "🔥", "⚠", "✅", "❌", "⬆", "⬇", "🔋", "❄", "🦄", "🐴"],
    "signs alone": ["a # b", "a * b", "a _ b", "a & b", "a @ b", "a \\ b", "a ^ b", "a § b", "a / b", "a = b", "a + b", "a b",
        "a ~ b", "a √ b", "a ∞ b"],
    "signs between letters": ["x<y", "x>y", "x=y", "x≤y", "x≥y", "x≠y", "x≈y", "x→y", "x←y", "x y", "x+y", "x*y", "x/y", "x^y",
        "x&y", "x@y"],
    "floors": ["0", "-0", "+0", "±0", "-1", "+1", "1", "01"],
    "hours and numbers": ["1h30", "130", "1.30", "1,30", "1 30", "1-30", "1/30"],
    "poles": ["V", "V+", "V-", "V±"],
    "Greek letters": ["α 5", "β 5", "γ 5", "Δ 5", "λ 5", "µ 5", "Ω 5", "φ 5"],
}  # fmt: skip


def test_there_are_enough_pairs() -> None:
    assert sum(len(list(combinations(group, 2))) for group in GROUPS.values()) >= PAIRS_MIN
    assert all(len(set(group)) == len(group) for group in GROUPS.values())


@pytest.mark.parametrize("tag", OF_A_LANGUAGE)
@pytest.mark.parametrize("group", GROUPS)
def test_texts_that_differ_in_meaning_never_sound_the_same(group: str, tag: str) -> None:
    heard = {text: phonemes(speakable(text, tag), tag).replace(" ", "") for text in GROUPS[group]}
    assert all(heard.values())
    assert [(one, other) for one, other in combinations(heard, 2) if heard[one] == heard[other]] == []


WITHOUT_A_FILE = [
    "nl",
    "pl",
    "pt",
    "ca",
    "cs",
    "sv",
    "da",
    "nb",
    "fi",
    "hu",
    "ro",
    "tr",
    "ru",
    "uk",
    "el",
    "ar",
    "hi",
    "vi",
    "ja",
    "ko",
]
VALUES = (
    "signs",
    "signs behind a sign",
    "signs in brackets",
    "signs in a row",
    "line ends",
    "ranges",
    "decimals",
    "comparisons",
    "clock times",
)


@pytest.mark.parametrize("tag", WITHOUT_A_FILE)
def test_nor_do_they_in_a_language_without_a_file(tag: str) -> None:
    for group in VALUES:
        heard = {text: phonemes(speakable(text, tag), tag).replace(" ", "") for text in GROUPS[group]}
        assert [(one, other) for one, other in combinations(heard, 2) if heard[one] == heard[other]] == []

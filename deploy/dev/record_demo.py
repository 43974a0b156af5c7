"""Records `make run` as a moving picture: .venv/bin/python deploy/dev/record_demo.py [FILE.svg], by default docs/pictures/demo.svg.

Runs `tocsin demo`, as `make run` does, in a fresh folder and notes when each line appears. The picture is one SVG file with its own animation: no script, no
font, and nothing from elsewhere, so that it is shown wherever pictures are. It is bright by day and dark by night
(`prefers-color-scheme`), and stands still, complete, where motion is not wanted. Run it again whenever the demo says something else;
tests/gateway/test_demo.py compares the words.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAST_LINE = "The gateway stays up"
"""What comes after it is long, and for whoever runs it."""
RUNS_MAX_S = 120.0
STAYS_S = 6.0
"""So long the whole is shown before it begins anew."""
SHORTEST_S, TYPED_S, WAIT_MAX_S = 0.12, 1.2, 7.0
"""Lines that come together are shown one after the other, the command is read first, and nobody waits longer than for the phone."""
COLUMNS, LINE, CHARACTER = 100, 19, 8.43
MARGIN, BAR = 16, 34
COLOURED = {
    "accepted": "good", "delivered": "good", "answered": "good", "receipt": "good", "status": "good", "Acknowledged": "good",
    "held": "money", "charged": "money", "released": "money", "sent": "way", "calling": "way",
}  # fmt: skip
STYLE = """\
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;fill:#24292f}
.paper{fill:#f6f8fa;stroke:#d0d7de}.dot{fill:#d0d7de}.good{fill:#116329}.money{fill:#7d4e00}.way{fill:#0550ae}.faint{fill:#57606a}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#161b22;stroke:#30363d}.dot{fill:#30363d}
.good{fill:#56d364}.money{fill:#e3b341}.way{fill:#79c0ff}.faint{fill:#8b949e}}
@media(prefers-reduced-motion:reduce){g{animation:none!important;opacity:1!important}}"""

Line = tuple[float, str]
"""Seconds after the start, and what was printed."""


def record() -> list[Line]:
    """Runs the demo until it says that it stays up. Raises SystemExit where it does not."""
    lines: list[Line] = [(0.0, "$ make run")]
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        demo = subprocess.Popen(  # noqa: S603 - our own program
            [ROOT / ".venv" / "bin" / "tocsin", "demo"], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        try:
            assert demo.stdout is not None
            for text in demo.stdout:
                lines.append((time.monotonic() - began, text.rstrip("\n")))
                if text.startswith(LAST_LINE):
                    return lines
                if time.monotonic() - began > RUNS_MAX_S:
                    break
        finally:
            demo.terminate()
            demo.wait()
    raise SystemExit(f"the demo did not come to its end:\n{chr(10).join(text for _, text in lines)}")


def told(lines: list[Line]) -> list[Line]:
    """As they are shown: no key, and paced so that eyes can follow; waits of the demo stay as long as they were."""
    shown: list[Line] = []
    at = last = 0.0
    for when, text in lines:
        if shown:  # the command stands there from the beginning
            at += TYPED_S if len(shown) == 1 else max(SHORTEST_S if text else 0.0, min(when - last, WAIT_MAX_S))
        last = when
        shown.append((at, re.sub(r"tok_[\w-]+", "tok_…", text)))
    return shown


def picture(lines: list[Line]) -> str:
    """The SVG."""
    whole_s = lines[-1][0] + STAYS_S
    width, height = round(2 * MARGIN + COLUMNS * CHARACTER), BAR + LINE * len(lines) + MARGIN
    frames, rows = [], []
    for n, (at, text) in enumerate(lines):
        if not text:
            continue
        begins = 100 * at / whole_s
        if at:
            frames.append(f"@keyframes l{n}{{0%,{begins:.2f}%{{opacity:0}}{begins + 0.01:.2f}%,100%{{opacity:1}}}}")
            frames.append(f"#l{n}{{animation:l{n} {whole_s:.1f}s infinite}}")
        rows.append(f'<g id="l{n}"><text x="{MARGIN}" y="{BAR + LINE * (n + 1) - 5}">{_coloured(text)}</text></g>')
    title = "A recorded run of the demo: one alert by text, call and mail, acknowledged by a key on the phone"
    dots = "".join(f'<circle class="dot" cx="{MARGIN + 6 + 18 * n}" cy="{BAR / 2}" r="5"/>' for n in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">'
        f"<title>{title}</title>\n<style>{STYLE}\n{chr(10).join(frames)}</style>\n"
        f'<rect class="paper" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>{dots}\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def _coloured(text: str) -> str:
    """The words of the timeline in colours; what is too long is cut."""
    if len(text) > COLUMNS:
        text = f"{text[: COLUMNS - 1]}…"
    line = re.match(r"( +\d+\.\d{3} s  )(\w+)(.*)", text)
    if line is not None and line[2] in COLOURED:
        return f'<tspan class="faint">{line[1]}</tspan><tspan class="{COLOURED[line[2]]}">{line[2]}</tspan>{escape(line[3])}'
    first, _, rest = text.partition(" ")
    if first in COLOURED:
        return f'<tspan class="{COLOURED[first]}">{first}</tspan> {escape(rest)}'
    return escape(text)


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures" / "demo.svg"
    file.write_text(picture(told(record())), encoding="utf-8")
    print(f"written to {file}")

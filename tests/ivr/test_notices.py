"""What other systems do wrong again and again: one line a minute for each kind and peer, and nothing grows."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ivr.notices import EVERY_S, OTHERS, PEERS_MAX, Notices


def test_one_line_a_minute_says_how_often_it_was() -> None:
    notices = Notices()
    assert notices.tell("broken", "a", 0.0) == ("a", 0)
    assert [notices.tell("broken", "a", float(at)) for at in range(1, 59)] == [None] * 58
    assert notices.tell("broken", "b", 30.0) == ("b", 0)
    assert notices.tell("odd", "a", 30.0) == ("a", 0)
    assert notices.tell("broken", "a", EVERY_S) == ("a", 58)
    assert notices.tell("broken", "a", 2 * EVERY_S) == ("a", 0)


def test_who_invents_peers_fills_neither_memory_nor_log() -> None:
    notices = Notices()
    lines = [told for n in range(10_000) if (told := notices.tell("broken", f"peer {n}", n / 1_000)) is not None]
    assert len(lines) == PEERS_MAX + 1
    assert len(notices) == PEERS_MAX + 1
    assert notices.tell("broken", "peer 0", EVERY_S + 20) == ("peer 0", 0)  # the oldest made room
    assert notices.tell("broken", "somebody", EVERY_S + 20) == ("somebody", 0)
    assert lines[-1] == (OTHERS, 0)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 400), st.floats(0, 5)), max_size=300))
def test_no_kind_and_peer_has_two_lines_in_a_minute(steps: list[tuple[str, int, float]]) -> None:
    notices, now = Notices(), 0.0
    lines: dict[tuple[str, str], list[float]] = {}
    told = Counter[str]()
    for kind, peer, later in steps:
        now += later
        line = notices.tell(kind, f"{peer}", now)
        if line is not None:
            lines.setdefault((kind, line[0]), []).append(now)
            told[kind] += 1 + line[1]
        assert len(notices) <= PEERS_MAX + 2
    for times in lines.values():
        assert all(after - before >= EVERY_S for before, after in itertools.pairwise(times))
    assert all(told[kind] <= sum(one == kind for one, _, _ in steps) for kind in "ab")

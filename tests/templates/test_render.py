"""Rendering is strict, and what a template can cost is bounded, whoever wrote it."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.limits import ITEMS_MAX, LOOPS_MAX, OUTPUT_CHARS_MAX, SOURCE_CHARS_MAX
from templates.render import Template, TemplateError


def render(source: str, **values: object) -> str:
    return Template(source, name="t").render(values)


def refusal(source: str, **values: object) -> TemplateError:
    with pytest.raises(TemplateError) as refused:
        render(source, **values)
    return refused.value


@given(st.text())
def test_values_come_out_as_they_are(text: str) -> None:
    assert render("{{ text }}", text=text) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ n + 1 }} of {{ n - 1 }}", "4 of 2"),
        ("{% if n > 2 and not no %}more{% else %}less{% endif %}", "more"),
        ("{% for one in some %}{{ loop.index }}{{ one.name }}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b"),
        ("{{ word|upper|lower|capitalize }} {{ some|length }} {{ absent|default('-') }}", "Word 2 -"),
        ("{% if absent is defined %}{{ absent }}{% endif %}", ""),
        ("{{ 'long word'|truncate(7, true, '...', 0) }}", "long..."),
        ("<{{ markup }}>", "<<b>&>"),
        ("{# said by nobody #}{% raw %}{{ n }}{% endraw %}", "{{ n }}"),
    ],
)
def test_what_templates_can_say(source: str, text: str) -> None:
    values = {"n": 3, "no": False, "word": "word", "some": [{"name": "a"}, {"name": "b"}], "markup": "<b>&"}
    assert render(source, **values) == text


def test_a_missing_variable_is_named_with_those_the_template_takes() -> None:
    error = refusal("{{ system }} {{ start }}", system="ERP")
    assert (error.field, error.detail) == ("variables.start", "missing: the template t takes start, system")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ n", "unexpected end"),
        ("{% set a = 1 %}", "assign"),
        ("{% macro m() %}{% endmacro %}", "macro"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as x %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% block b %}{% endblock %}", "block"),
        ("{{ range(10) }}", "call"),
        ("{{ text.upper() }}", "call"),
        ("{{ 'a' * 1000000000 }}", "mul"),
        ("{{ 9 ** 999999999 }}", "pow"),
        ("{{ '%99999999d' % 1 }}", "mod"),
        ("{{ text ~ text }}", "concat"),
        ("{{ text[0] }}", "getitem"),
        ("{{ self }}", "self"),
        ("{{ [1, 2] }}", "list"),
        ("{{ text|center(1000000000) }}", "'center'"),
        ("{{ text|replace('', text) }}", "'replace'"),
        ("{{ text is iterable }}", "'iterable'"),
        ("{% for a in some %}{% for b in some %}{% endfor %}{% endfor %}", "a loop inside a loop"),
        ("{% for a in some recursive %}{% endfor %}", "a loop inside a loop"),
        ("{% for a in some %}{% endfor %}" * (LOOPS_MAX + 1), "more than 10 loops"),
        ("{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}", "nested too deeply"),
        ("{{ " + "9" * 10_000 + " }}", "digits"),
        ("x" * (SOURCE_CHARS_MAX + 1), "at most 20000 characters"),
    ],
)
def test_what_templates_cannot_use_is_refused_before_they_run(source: str, told: str) -> None:
    error = refusal(source, text="text", some=[1])
    assert error.field == "template"
    assert told in error.detail


@pytest.mark.parametrize(
    "source",
    [
        "{{ text.__class__ }}",
        "{{ text.upper }}",
        "{{ some.append }}",
        "{{ one.__init__ }}",
        "{{ one.absent }}",
        "{{ absent.more }}",
        "{{ text + text }}",
        "{{ text - 1 }}",
        "{{ range }}",
    ],
)
def test_nothing_of_pythons_is_reached(source: str) -> None:
    assert refusal(source, text="text", some=[1], one={"a": 1}).field.startswith("variables")


def test_the_output_is_bounded() -> None:
    long = "x" * 1_000
    assert len(render("{{ long }}" * 100, long=long)) == 100_000
    assert f"at most {OUTPUT_CHARS_MAX}" in refusal("{{ long }}" * 121, long=long).detail


def test_lists_are_bounded() -> None:
    assert render("{% for i in some %}{% endfor %}", some=[1] * ITEMS_MAX) == ""
    assert refusal("{% for i in some %}{% endfor %}", some=[1] * (ITEMS_MAX + 1)).field == "variables.some"


def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a machine that stands still makes a template slow; then it says so instead of standing still with it."""
    clock = iter([0.0, 0.1, 99.0])
    monkeypatch.setattr("templates.render.time", type("Clock", (), {"thread_time": lambda: next(clock)}))
    assert "within 0.5 s" in refusal("a{{ n }}b", n=1).detail


def test_the_worst_template_ends_soon() -> None:
    source = "{% for c in text %}{% if c == c and c|upper|lower|length > 1 %}{% endif %}{% endfor %}" * LOOPS_MAX
    template = Template(source, name="t")
    begin = time.process_time()
    template.render({"text": "x" * 2_000})
    assert time.process_time() - begin < 5


@given(st.text(alphabet="{}%# -|.+'\"()[]abit_for1 nen", max_size=60))
def test_whatever_the_source_only_template_errors_come_out(source: str) -> None:
    with contextlib.suppress(TemplateError):
        render(source, a="a", b=2, t=[1, {"a": 1}])

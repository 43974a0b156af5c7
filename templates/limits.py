"""What a template may say and how much: an allow-list and bounds, so that what it costs is known before it runs."""

from __future__ import annotations

from jinja2 import nodes

SOURCE_CHARS_MAX = 20_000
"""Characters of one template: twenty pages, far beyond any message."""
OUTPUT_CHARS_MAX = 120_000
"""Characters that come out: the longest text an alert may have (100,000) and a frame around it."""
RENDER_S_MAX = 0.5
"""Time for one rendering; the longest text takes a hundredth of it."""
LOOPS_MAX = 10
"""Loops of one template, none inside another: the work is then at most ten times the longest list."""
ITEMS_MAX = 1_000
"""Elements of a list that a template is given."""
VARIABLES_MAX = 50
"""Variables that a request gives to a template by name."""
VARIABLE_CHARS_MAX = 2_000
"""Characters of one such variable: all of them together stay below OUTPUT_CHARS_MAX."""
NUMBER_MAX = 10**15
"""Largest number, either way: every one of them is exact as a float as well."""
FILES_MAX = 2_000
"""Files of one catalog: a hundred templates in twenty languages."""

FILTERS = frozenset(
    {"capitalize", "default", "first", "int", "last", "length", "lower", "trim", "truncate", "upper"},
)
"""None of these makes a text longer than its input and a constant; padding, repeating and joining filters could."""
TESTS = frozenset({"defined", "undefined", "eq", "ne", "lt", "le", "gt", "ge"})

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Add,
    nodes.Sub,
    nodes.Neg,
    nodes.Filter,
    nodes.Test,
)
"""No calls, no assignments, no macros, no includes: nothing can grow, recurse, or reach outside its variables."""


class NotAllowedError(ValueError):
    """The template uses something that is not allowed. The text names it and its line."""


def check_allowed(template: nodes.Template) -> None:
    """Raises NotAllowedError for the first thing in the parsed template that is not on the lists above."""
    loops = list(template.find_all(nodes.For))
    if len(loops) > LOOPS_MAX:
        raise NotAllowedError(f"more than {LOOPS_MAX} loops")
    for loop in loops:
        if loop.recursive or any(True for _ in loop.find_all(nodes.For)):
            raise NotAllowedError(f"line {loop.lineno}: a loop inside a loop")
    for node in template.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED):
            raise NotAllowedError(f"line {node.lineno}: {type(node).__name__.lower()} is not available in templates")
        if isinstance(node, nodes.Name) and node.name == "self":
            raise NotAllowedError(f"line {node.lineno}: self is not available in templates")
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise NotAllowedError(
                f"line {node.lineno}: no filter {node.name!r}; there are {', '.join(sorted(FILTERS))}"
            )
        if isinstance(node, nodes.Test) and node.name not in TESTS:
            raise NotAllowedError(f"line {node.lineno}: no test {node.name!r}; there are {', '.join(sorted(TESTS))}")

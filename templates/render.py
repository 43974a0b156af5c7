"""From a template's source and values to text: sandboxed, strict, bounded. Where sources come from is in `catalog`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import SandboxedEnvironment

from templates.limits import (
    FILTERS,
    ITEMS_MAX,
    OUTPUT_CHARS_MAX,
    RENDER_S_MAX,
    SOURCE_CHARS_MAX,
    TESTS,
    NotAllowedError,
    check_allowed,
)


class TemplateError(ValueError):
    """A text could not be made. `field` is ``template`` or ``variables.NAME``, `detail` says what was expected."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


class _Environment(SandboxedEnvironment):
    """Jinja2's sandbox, strict, for plain text, with nothing in it but the filters and tests of `limits`."""

    intercepted_binops = frozenset({"+"})

    def __init__(self) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # the output is plain text; a channel that needs markup escapes it itself
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in FILTERS}
        self.tests = {name: self.tests[name] for name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A value's members are what it was given, never Python's own attributes."""
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext | Undefined):
            return super().getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Only numbers are added: a sum of texts could become a thousand times what is given."""
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise TypeError("expected numbers on both sides of +")
        return super().call_binop(context, operator, left, right)


_ENVIRONMENT = _Environment()


class Template:
    """One template, checked and compiled. `variables` are the names it uses."""

    __slots__ = ("_compiled", "channel", "language", "name", "variables")

    def __init__(self, source: str, *, name: str, language: str = "en", channel: str = "text") -> None:
        """Raises TemplateError where the source is too long, not a template, or uses what `limits` does not allow."""
        self.name = name
        self.language = language
        self.channel = channel
        if len(source) > SOURCE_CHARS_MAX:
            raise TemplateError("template", f"{name}: expected at most {SOURCE_CHARS_MAX} characters")
        try:
            parsed = _ENVIRONMENT.parse(source)
            check_allowed(parsed)
            self.variables = _variables(parsed)
            self._compiled = _ENVIRONMENT.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError("template", f"{name}: line {error.lineno}: {error.message}") from error
        except NotAllowedError as error:
            raise TemplateError("template", f"{name}: {error}") from error
        except RecursionError as error:  # a thousand brackets
            raise TemplateError("template", f"{name}: nested too deeply") from error
        except ValueError as error:  # a number of a thousand digits
            raise TemplateError("template", f"{name}: {error}") from error

    def render(self, values: Mapping[str, object]) -> str:
        """The text. Raises TemplateError naming a missing variable, or where it became too long or took too long."""
        self._check(values)
        end = time.thread_time() + RENDER_S_MAX  # of the processor: a machine that stalls refuses no alarm
        left = OUTPUT_CHARS_MAX
        chunks: list[str] = []
        try:
            for chunk in self._compiled.generate(values):
                left -= len(chunk)
                if left < 0:
                    raise TemplateError(
                        "template", f"{self.name}: expected at most {OUTPUT_CHARS_MAX} characters of text"
                    )
                if time.thread_time() > end:
                    raise TemplateError(
                        "template", f"{self.name}: expected a text within {RENDER_S_MAX:g} s of processor time"
                    )
                chunks.append(chunk)
        except jinja2.UndefinedError as error:
            raise self._missing(values, str(error)) from error
        except TemplateError:
            raise
        except Exception as error:  # whatever an expression does to a value of the wrong kind: `1 + "a"`
            raise TemplateError("variables", f"{self.name}: {error}") from error
        return "".join(chunks)

    def _check(self, values: Mapping[str, object]) -> None:
        for name in self.variables:
            value = values.get(name)
            if isinstance(value, list | tuple) and len(value) > ITEMS_MAX:
                raise TemplateError(f"variables.{name}", f"expected at most {ITEMS_MAX} elements")

    def _missing(self, values: Mapping[str, object], told: str) -> TemplateError:
        for name in sorted(self.variables - values.keys()):
            if repr(name) in told:
                takes = ", ".join(sorted(self.variables))
                return TemplateError(f"variables.{name}", f"missing: the template {self.name} takes {takes}")
        return TemplateError("variables", f"{self.name}: {told}")


def _variables(parsed: nodes.Template) -> frozenset[str]:
    return frozenset(meta.find_undeclared_variables(parsed))

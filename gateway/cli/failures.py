"""What went wrong, in one line for the person at the keyboard. Errors that are nobody's but ours are left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import click

STATUS_FAILED = 1
STATUS_SETTINGS = 3


class Refused(click.ClickException):
    """A command cannot do what was asked; the text says why. `facts` go beside the error in JSON."""

    status = STATUS_FAILED

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(text)
        self.facts = facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A failure as it is told: the text (a line for each problem of a settings file), the exit status, more for JSON."""

    text: str
    status: int = STATUS_FAILED
    facts: dict[str, Any] = field(default_factory=dict)
    hint: str = ""

    @property
    def lines(self) -> list[str]:
        """The text, line by line; never none."""
        return self.text.splitlines() or ["failed"]


def failure_of(error: Exception) -> Failure | None:
    """How to tell of the error; None for those that are faults of the program."""
    # only here, where something has failed already: a command that works need not load what it does not use
    from billing.ledger import InsufficientCredit
    from billing.money import AmountError, CurrencyError
    from billing.tariff import TariffError
    from channels.plainly import plainly
    from gateway.administration import AdministrationError, InvalidFieldError
    from gateway.client import ApiError, UnreachableError
    from gateway.settings_problems import SettingsError
    from gateway.store.errors import StoreError, StoreOfAnotherVersion

    match error:
        case Refused():
            return Failure(text=error.format_message(), status=error.status, facts=error.facts)
        case click.ClickException():
            return Failure(text=error.format_message(), status=error.exit_code)
        case SettingsError():
            problems = [
                {"file": error.file, "line": each.line, "key": each.key, "text": each.text} for each in error.problems
            ]
            return Failure(text=str(error), status=STATUS_SETTINGS, facts={"problems": problems})
        case ApiError():
            return Failure(text=str(error), facts={"status": error.status, "problem": error.problem})
        case StoreOfAnotherVersion():  # as wrong settings: to start again and again changes nothing
            return Failure(text=str(error), status=STATUS_SETTINGS)
        case StoreError():
            return Failure(text=str(error))
        case InvalidFieldError():
            return Failure(text=f"{error.field}: {error}", facts={"field": error.field})
        case AdministrationError() | AmountError() | CurrencyError() | TariffError() | InsufficientCredit():
            return Failure(text=str(error))
        case UnreachableError():
            return Failure(text=str(error))
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return Failure(text=f"{place}{plainly(error)}")
    return None

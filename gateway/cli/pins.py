"""`tocsin pins`: hashes of PINs, as the settings hold them."""

from __future__ import annotations

import secrets
import sys

import click

from gateway.cli.groups import Group
from gateway.cli.invocation import common_options, this_invocation
from gateway.pins import DIGITS_MAX, DIGITS_MIN, SALT_BYTES, PinError, hashed


@click.group(cls=Group)
@common_options
def pins() -> None:
    """Hash the PINs of people and of alarm lines."""


@pins.command(name="hash")
@common_options
def hash_() -> None:
    """Ask for a PIN, or read it from standard input, and print its hash for `pin = "…"`."""
    if sys.stdin.isatty():
        pin = click.prompt(f"PIN, {DIGITS_MIN} to {DIGITS_MAX} digits", hide_input=True, confirmation_prompt=True)
    else:
        pin = sys.stdin.readline(DIGITS_MAX + 2).strip()
    try:
        stored = hashed(pin, secrets.token_bytes(SALT_BYTES))
    except PinError as error:
        raise click.UsageError(f"PIN: {error}") from None
    this_invocation().show({"pin": stored}, stored)

"""The command line `tocsin`: one module for each command. What the commands do is done elsewhere."""

from __future__ import annotations

from gateway.cli.root import main

__all__ = ["main"]

"""A PostgreSQL for a reader, until Ctrl-C: `python -m tests.docs.database FILE` writes its URL there. No tests."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

from tests.peers.postgresql import PostgresqlServer

if __name__ == "__main__":
    with contextlib.closing(PostgresqlServer()) as server, contextlib.suppress(KeyboardInterrupt):
        Path(sys.argv[1]).write_text(server.start().create_database() + "\n")
        print("PostgreSQL listens", flush=True)
        signal.pause()

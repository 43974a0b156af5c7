"""What can be wrong with the store, in the broker's words; drivers' own errors do not leave this folder."""

from __future__ import annotations


class StoreError(Exception):
    """Something is wrong with the store."""


class StoreUnavailable(StoreError):  # noqa: N818 - reads as what it is
    """Nothing was written: the disk is full, the database does not answer, or the journal is full. Try again."""


class StoreStopped(StoreUnavailable):
    """The journal has ended: this process writes nothing any more."""


class StoreConflict(StoreError):  # noqa: N818
    """A constraint of the schema refused the command; nothing of it was written."""


class StoreOfAnotherVersion(StoreError):  # noqa: N818
    """The tables are those of another version of this program; the text says what to do. Nothing was changed."""


class StoreLocked(StoreError):  # noqa: N818
    """Another process owns this SQLite database."""

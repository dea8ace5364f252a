"""Why a ledger is not opened: settings that could lose a commit, tables that are not what we made, a database that does
not let us in."""

from __future__ import annotations


class StartRefused(Exception):
    """The ledger cannot be trusted as it stands; a person must mend it before anything starts."""


class ConfigUnsafe(StartRefused):
    """A database setting under which an acknowledged commit may be lost. ``setting`` names it."""

    def __init__(self, setting: str, found: object, wanted: str) -> None:
        super().__init__(f"{setting} is {found}; it must be {wanted}, or acknowledged payments may be lost")
        self.setting = setting


class MigrationRefused(StartRefused):
    """The database was made by other migrations than ours: an edited file, or a newer release."""


class DatabaseRefused(StartRefused):
    """The database does not let us in, or not make our tables, and will not by itself. One that is away is no such."""

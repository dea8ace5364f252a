"""Which ledger a URL names."""

from __future__ import annotations

from collections.abc import Callable

from oncepay.domain.errors import Invalid
from oncepay.ports import Ledger, Wake


async def open_ledger(url: str, *, token: Callable[[], str], migrate: bool = True) -> Ledger:
    """Open the ledger at a URL: ``sqlite:///oncepay.db``, ``sqlite://:memory:``, ``postgresql://user@host/database``.

    token: the dice (32 unguessable letters and digits), asked only when the installation is new.
    migrate: bring the tables up to date first; without, older tables are refused.
    Raises StartRefused (settings that could lose a commit, tables that are not ours), Invalid, Unavailable.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from oncepay.store.sqlite import open_sqlite  # noqa: PLC0415 - only what is asked for is loaded

        return await open_sqlite(url, token=token, migrate=migrate)
    if scheme in {"postgresql", "postgres"}:
        from oncepay.store.postgres import open_postgres  # noqa: PLC0415 - its driver is an extra

        return await open_postgres(url, token=token, migrate=migrate)
    raise Invalid(f"{scheme}: a ledger's URL starts with sqlite: or postgresql:", field="url")


def wake_of(url: str) -> Wake | None:
    """Wake-ups between processes by the ledger's own database, where it can pass them on. Connects when first used."""
    if url.partition(":")[0] not in {"postgresql", "postgres"}:
        return None
    from oncepay.store.postgres_wake import PostgresWake  # noqa: PLC0415 - its driver is an extra

    return PostgresWake(url)

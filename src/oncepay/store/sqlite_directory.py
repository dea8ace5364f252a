"""Who there is, on SQLite: apps with their keys, accounts, endpoints. Small, read whole, stamped when it changes."""

from __future__ import annotations

from collections.abc import Callable

from oncepay.ports import App, AppKey, Endpoint, SealedAccount
from oncepay.store import rows
from oncepay.store.migrations import epoch_of
from oncepay.store.sqlite_base import LIST_MAX, Base


class Directory(Base):
    """That part of the Ledger."""

    async def apps(self) -> list[App]:
        """All apps with their keys, newest first."""
        return self._apps(self._read)

    @staticmethod
    def _apps(read: Callable[[str], list[rows.Row]]) -> list[App]:
        keys: dict[str, list[AppKey]] = {}
        for app, hash_, hint, created_ms, used_ms in read("list_keys"):
            keys.setdefault(app, []).append(AppKey(hash=hash_, hint=hint, created_ms=created_ms, used_ms=used_ms))
        return [
            App(
                id=id_, name=name, late=late, unclosable=unclosable, keys=tuple(keys.get(id_, ())),
                private_networks=tuple(rows.from_json(networks)), created_ms=created_ms,
            )
            for id_, name, late, unclosable, networks, created_ms in read("list_apps")
        ]  # fmt: skip

    async def save_app(self, app: App, before: App | None) -> bool:
        """Create, or replace by compare-and-set on ``before``: keys that it does not name are gone at once."""
        rows.check_texts(app.id, app.name, *app.private_networks)
        rows.check_texts(*(text for key in app.keys for text in (key.hash, key.hint)))
        rows.check_ints(app.created_ms, *(ms for key in app.keys for ms in (key.created_ms, key.used_ms)))
        networks = rows.json_of(app.private_networks)

        def work() -> bool:
            stands = next((known for known in self._apps(self._pick) if known.id == app.id), None)
            if rows.app_compared(stands) != rows.app_compared(before):
                return False
            self._run("save_app", (app.id, app.name, app.late, app.unclosable, networks, app.created_ms))
            kept = {key.hash for key in app.keys}
            for owner, hash_, *_ in self._pick("list_keys"):
                if owner == app.id and hash_ not in kept:
                    self._run("drop_key", (app.id, hash_))
            for key in app.keys:
                self._run("save_key", (key.hash, app.id, key.hint, key.created_ms, key.used_ms))
            self._run("stamp_directory")
            return True

        return await self._write(work)

    async def used_key(self, hash_: str, at_ms: int) -> None:
        """Note a key's last use."""
        await self._write(lambda: self._run("use_key", {"hash": hash_, "at_ms": at_ms}))

    async def accounts(self) -> list[SealedAccount]:
        """All accounts, sealed."""
        return [
            SealedAccount(
                id=id_, channel=channel, identity=rows.from_json(identity), settings=rows.from_json(settings),
                sealed=sealed, revision=revision, retired=bool(retired), created_ms=created_ms,
            )
            for id_, channel, identity, settings, sealed, revision, retired, created_ms in self._read("list_accounts")
        ]  # fmt: skip

    async def save_account(self, account: SealedAccount) -> bool:
        """Create (revision 1) or replace by compare-and-set on the revision before."""
        rows.check_texts(account.id, account.channel, account.sealed)
        rows.check_ints(account.revision, account.created_ms)
        columns = {
            "id": account.id, "channel": account.channel, "identity": rows.json_of(account.identity),
            "settings": rows.json_of(account.settings), "sealed": account.sealed, "revision": account.revision,
            "retired": int(account.retired), "created_ms": account.created_ms,
        }  # fmt: skip

        def work() -> bool:
            if account.revision == 1:
                saved = self._run("create_account", tuple(columns.values()))
            else:
                saved = self._run("replace_account", columns)
            if saved:
                self._run("stamp_directory")
            return bool(saved)

        return await self._write(work)

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints."""
        return [
            Endpoint(
                id=id_,
                app=app,
                url=url,
                secrets=tuple(rows.from_json(secrets)),
                login=login,
                disabled=disabled,
                created_ms=created_ms,
            )
            for id_, app, url, secrets, login, disabled, created_ms in self._read("list_endpoints")
        ]

    async def save_endpoint(self, endpoint: Endpoint, before: Endpoint | None) -> bool:
        """Create, or replace by compare-and-set on what of ``before`` ever changes."""
        columns = rows.endpoint_columns(endpoint, before)

        def work() -> bool:
            saved = self._run("create_endpoint" if before is None else "replace_endpoint", columns)
            if saved:
                self._run("stamp_directory")
            return bool(saved)

        return await self._write(work)

    async def delete_endpoint(self, app: str, endpoint_id: str) -> bool:
        """Remove one; what was due to it is dropped, a piece at a time."""

        def work() -> bool:
            gone = self._run("delete_endpoint", {"id": endpoint_id, "app": app})
            if gone:
                self._run("stamp_directory")
            return bool(gone)

        if not await self._write(work):
            return False
        piece = {"id": endpoint_id, "most": LIST_MAX}
        while await self._write(lambda: self._run("drop_due_deliveries", piece)) == LIST_MAX:
            pass
        return True

    async def directory_stamp(self) -> str:
        """Changes whenever an app, account or endpoint does."""
        ((stamp,),) = self._read("read_stamp")
        return str(stamp)

    async def start_epoch(self, token: str) -> None:
        """After a restore from a backup: cursors of the feed from before start over. Seen by who opens after this."""
        await self._write(lambda: self._run("write_epoch", {"epoch": epoch_of(token)}))

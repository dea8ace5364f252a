"""Who there is, on PostgreSQL: apps with their keys, accounts with their secrets sealed, endpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from oncepay.ports import App, AppKey, Endpoint, SealedAccount
from oncepay.store.rows import app_compared, check_ints, check_texts, endpoint_columns, from_json, json_of

if TYPE_CHECKING:
    from oncepay.store.postgres_link import Calls


PIECE: Final = 1000  # rows dropped at a time


class Directory:
    """Part of the ledger. Every change moves the stamp, by which other processes notice it."""

    _calls: Calls

    async def apps(self) -> list[App]:
        """All apps with their keys."""
        keys: defaultdict[str, list[AppKey]] = defaultdict(list)
        for hash_, app_id, hint, created_ms, used_ms in await self._calls.read("read_app_keys"):
            keys[app_id].append(AppKey(hash=hash_, hint=hint, created_ms=created_ms, used_ms=used_ms))
        return [
            App(
                id=id_, name=name, late=late, unclosable=unclosable, private_networks=tuple(from_json(networks)),
                keys=tuple(keys[id_]), created_ms=created_ms,
            )
            for id_, name, late, unclosable, networks, created_ms in await self._calls.read("read_apps")
        ]  # fmt: skip

    async def save_app(self, app: App, before: App | None) -> bool:
        """Create, or replace by compare-and-set on ``before``; keys that it no longer names are gone."""
        check_texts(app.id, app.name, *(key.hash + key.hint for key in app.keys))
        check_ints(app.created_ms, *(key.created_ms for key in app.keys), *(key.used_ms for key in app.keys))
        values = {
            "id": app.id, "name": app.name, "late": app.late, "unclosable": app.unclosable,
            "private_networks": json_of(app.private_networks), "created_ms": app.created_ms,
            "hashes": [key.hash for key in app.keys], "hints": [key.hint for key in app.keys],
            "keys_created": [key.created_ms for key in app.keys], "keys_used": [key.used_ms for key in app.keys],
        }  # fmt: skip

        async def stands() -> bool:
            known = next((known for known in await self.apps() if known.id == app.id), None)
            return app_compared(known) == app_compared(before)

        return await self._write_if(stands, "save_app", values)

    async def _write_if(self, holds: Callable[[], Awaitable[bool]], name: str, values: dict[str, Any]) -> bool:
        """Write if something holds of several rows: read at a stamp, and written only while that has not moved."""
        while True:  # each time round, somebody else has changed something of who there is
            stamp = await self.directory_stamp()
            if not await holds():
                return False
            if await self._calls.write(name, stamp=stamp, **values):
                return True

    async def used_key(self, hash_: str, at_ms: int) -> None:
        """Note a key's last use."""
        await self._calls.write("used_key", hash=hash_, at_ms=at_ms)

    async def accounts(self) -> list[SealedAccount]:
        """All accounts, sealed."""
        return [
            SealedAccount(
                id=id_, channel=channel, identity=from_json(identity), settings=from_json(settings), sealed=sealed,
                revision=revision, retired=bool(retired), created_ms=created_ms,
            )
            for id_, channel, identity, settings, sealed, revision, retired, created_ms in await self._calls.read(
                "read_accounts"
            )
        ]  # fmt: skip

    async def save_account(self, account: SealedAccount) -> bool:
        """Create (revision 1) or replace by compare-and-set on ``revision - 1``; False: another was faster."""
        check_texts(account.id, account.channel, account.sealed)
        check_ints(account.revision, account.created_ms)
        saved = await self._calls.write(
            "save_account", id=account.id, channel=account.channel, identity=json_of(account.identity),
            settings=json_of(account.settings), sealed=account.sealed, revision=account.revision,
            retired=int(account.retired), created_ms=account.created_ms,
        )  # fmt: skip
        return bool(saved)

    async def endpoints(self) -> list[Endpoint]:
        """All endpoints."""
        return [
            Endpoint(
                id=id_,
                app=app_id,
                url=url,
                secrets=tuple(from_json(secrets)),
                login=login,
                disabled=disabled,
                created_ms=created_ms,
            )
            for id_, app_id, url, secrets, login, disabled, created_ms in await self._calls.read("read_endpoints")
        ]

    async def save_endpoint(self, endpoint: Endpoint, before: Endpoint | None) -> bool:
        """Create, or replace by compare-and-set on what of ``before`` ever changes; False: another was faster."""
        columns = endpoint_columns(endpoint, before)
        if before is not None:
            return bool(await self._calls.write("replace_endpoint", **columns))

        async def free() -> bool:
            known = await self.endpoints()
            return not any(e.id == endpoint.id or (e.app, e.url) == (endpoint.app, endpoint.url) for e in known)

        return await self._write_if(free, "create_endpoint", columns)

    async def delete_endpoint(self, app: str, endpoint_id: str) -> bool:
        """Remove one; its due deliveries are dropped."""
        gone = await self._calls.write("delete_endpoint", app=app, id=endpoint_id)
        while gone and len(await self._calls.write("drop_due_deliveries", id=endpoint_id, limit_=PIECE)) == PIECE:
            pass
        return bool(gone)

    async def directory_stamp(self) -> str:
        """Changes whenever an app, account or endpoint does: cheap to ask."""
        ((stamp,),) = await self._calls.read("read_stamp")
        return str(stamp)

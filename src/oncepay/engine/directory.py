"""Who there is: apps, accounts, endpoints. Few, read on every request, changed seldom: kept in memory and read again
when the store's stamp has changed, looked at a few times a second by each process and after every change of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256

import msgspec

from oncepay.domain.errors import AccountAbsent, AppAbsent
from oncepay.engine.vault import Vault
from oncepay.ports import Account, App, AppKey, Endpoint, Ledger, SealedAccount


class Directory:
    """A copy of the store's directory, with accounts opened. Never the truth about money."""

    def __init__(self, ledger: Ledger, vault: Vault) -> None:
        self._ledger = ledger
        self._vault = vault
        self._stamp = ""
        self._apps: dict[str, App] = {}
        self._by_key: dict[str, tuple[App, AppKey]] = {}
        self._accounts: dict[str, Account] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._by_app: dict[str, tuple[Endpoint, ...]] = {}
        self.changed: Callable[[], None] = lambda: None  # called after a change of our own, for others to hear of it

    async def refresh(self, *, force: bool = False) -> None:
        """Read again what has changed; ``force``: we changed it. Raises Unavailable, VaultRefused when an account
        cannot be opened."""
        if force:
            self.changed()
        stamp = await self._ledger.directory_stamp()
        if stamp == self._stamp and not force:
            return
        apps = {app.id: app for app in await self._ledger.apps()}
        by_key = {key.hash: (app, key) for app in apps.values() for key in app.keys}
        accounts = {row.id: self.open(row) for row in await self._ledger.accounts()}
        endpoints = {row.id: self._opened(row) for row in await self._ledger.endpoints()}
        by_app: dict[str, tuple[Endpoint, ...]] = {}
        for endpoint in endpoints.values():
            by_app[endpoint.app] = (*by_app.get(endpoint.app, ()), endpoint)
        self._apps, self._by_key, self._accounts = apps, by_key, accounts
        self._endpoints, self._by_app, self._stamp = endpoints, by_app, stamp

    def open(self, row: SealedAccount) -> Account:
        """An account with its secrets opened. Raises VaultRefused."""
        return Account(
            id=row.id,
            channel=row.channel,
            identity=row.identity,
            settings=row.settings,
            secrets=self._vault.open("account", row.id, row.sealed),
            revision=row.revision,
            retired=row.retired,
        )

    def sealed(self, account: Account, created_ms: int) -> SealedAccount:
        """An account as it is stored."""
        return SealedAccount(
            id=account.id,
            channel=account.channel,
            identity=account.identity,
            settings=account.settings,
            sealed=self._vault.seal("account", account.id, account.secrets),
            revision=account.revision,
            retired=account.retired,
            created_ms=created_ms,
        )

    def _opened(self, row: Endpoint) -> Endpoint:
        secrets = tuple(self._vault.open("endpoint", row.id, sealed)["secret"] for sealed in row.secrets)
        login = self._vault.open("endpoint", row.id, row.login)["login"] if row.login else ""
        return msgspec.structs.replace(row, secrets=secrets, login=login)

    def seal_secret(self, endpoint_id: str, secret: str) -> str:
        """An endpoint's signing secret as it is stored."""
        return self._vault.seal("endpoint", endpoint_id, {"secret": secret})

    def seal_login(self, endpoint_id: str, login: str) -> str:
        """A broker's user and password as they are stored; "" stays ""."""
        return self._vault.seal("endpoint", endpoint_id, {"login": login}) if login else ""

    def app(self, app_id: str) -> App:
        """Raises AppAbsent."""
        try:
            return self._apps[app_id]
        except KeyError:
            raise AppAbsent from None

    def app_of_key(self, key: str) -> tuple[App, AppKey] | None:
        """Whose bearer key this is. Keys are looked up by their hash: there is nothing to compare in steps."""
        return self._by_key.get(key_hash(key))

    def account(self, account_id: str) -> Account:
        """Raises AccountAbsent."""
        try:
            return self._accounts[account_id]
        except KeyError:
            raise AccountAbsent(f"there is no account {account_id!r}", field="account") from None

    def accounts(self, channel: str = "") -> list[Account]:
        """All accounts, or those of a channel."""
        return [a for a in self._accounts.values() if not channel or a.channel == channel]

    def apps(self) -> Mapping[str, App]:
        """All apps by id."""
        return self._apps

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """An endpoint, disabled ones too."""
        return self._endpoints.get(endpoint_id)

    def endpoints_of(self, app_id: str) -> tuple[Endpoint, ...]:
        """Where an app hears its events, disabled ones too: what they miss is parked."""
        return self._by_app.get(app_id, ())


def key_hash(key: str) -> str:
    """How a bearer key is stored and looked up. Keys hold 128 random bits or more, so one fast hash is enough."""
    return sha256(key.encode()).hexdigest()

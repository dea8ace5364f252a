"""What an operator sets up: apps and their keys, accounts, endpoints."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from ipaddress import ip_network
from typing import Any, Final, TypeVar

import msgspec

from oncepay.domain.errors import (
    AppAbsent,
    CommitUnknown,
    Conflict,
    EndpointAbsent,
    Invalid,
    KeyReused,
    OncepayError,
    Unavailable,
)
from oncepay.domain.ids import check_number
from oncepay.domain.payment import Late, Unclosable
from oncepay.engine.core import GUARD_TRIES, Engine
from oncepay.engine.directory import key_hash
from oncepay.ports import Account, App, AppKey, Endpoint

KEYS_MAX: Final = 2  # active at once, so that an app can change its key without a pause
SECRETS_MAX: Final = 2
URL_MAX: Final = 512
ENDPOINTS_MAX: Final = 16  # an app's; every event goes to each of them
T = TypeVar("T", App, Endpoint)


async def create_app(engine: Engine, app_id: str, name: str) -> tuple[App, str]:
    """A new app and its first key, which is shown this once. Raises Conflict when there is one of that id."""
    check_number(app_id, "id")
    key, row = _new_key(engine)
    app = App(id=app_id, name=name or app_id, keys=(row,), created_ms=engine.clock.now_ms())
    made = await _make(
        lambda: engine.ledger.save_app(app, None),
        lambda: _stands(engine.ledger.apps(), lambda stored: row.hash in {key.hash for key in stored.keys}),
    )
    if not made:
        raise Conflict(f"there is an app {app_id!r} already")
    await _noticed(engine)
    return app, key


async def _make(save: Callable[[], Awaitable[bool]], is_ours: Callable[[], Awaitable[bool]]) -> bool:
    """Store something new. Where the answer is lost it is looked for: what is there with our secret is ours, and is
    shown; what is not is stored again. False: its place is taken. Raises CommitUnknown when nobody can say."""
    lost: CommitUnknown | None = None
    for _ in range(GUARD_TRIES):
        try:
            if await save():
                return True
            return lost is not None and await is_ours()  # the lost one may have come late
        except CommitUnknown as error:
            lost = error
        except Unavailable as error:
            raise lost or error from None
        with suppress(Unavailable):
            if await is_ours():
                return True
    assert lost is not None
    raise lost


async def _stands(stored: Awaitable[Iterable[T]], is_ours: Callable[[T], bool]) -> bool:
    return any(is_ours(one) for one in await stored)


async def rotate_key(engine: Engine, app: App) -> str:
    """A second key beside the newest one; an older second one stops working now. The key is shown this once."""
    key, row = _new_key(engine)

    def beside(stands: App) -> App:
        older = (known for known in stands.keys if known.hash != row.hash)
        return msgspec.structs.replace(stands, keys=(row, *older)[:KEYS_MAX])

    await _change_app(engine, app, beside)
    return key


async def revoke_key(engine: Engine, app: App, hint: str) -> App:
    """Stop a key at once, named by its last four characters. Raises Invalid when none or several match."""
    named = [key.hash for key in app.keys if key.hint == hint]
    if len(named) != 1:
        raise Invalid(f"{len(named)} keys end in {hint!r}", field="key")

    def without(stands: App) -> App:
        return msgspec.structs.replace(stands, keys=tuple(key for key in stands.keys if key.hash != named[0]))

    return await _change_app(engine, app, without)


def _new_key(engine: Engine) -> tuple[str, AppKey]:
    key = f"onc_{engine.dice.token()}"
    return key, AppKey(hash=key_hash(key), hint=key[-4:], created_ms=engine.clock.now_ms())


async def set_policies(
    engine: Engine,
    app: App,
    *,
    late: Late | None = None,
    unclosable: Unclosable | None = None,
    private_networks: Sequence[str] | None = None,
) -> App:
    """Change what happens to late money, to attempts that cannot be closed, and which private networks the app's
    webhooks may reach. Payments keep the policies they were made with. Raises Invalid."""
    if private_networks is not None:
        for network in private_networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise Invalid(f"private network {network!r}: {error}", field="private_networks") from None
        try:
            engine.read_target("https://example.com/", private_networks)  # a list that would open the world is refused
        except ValueError as error:
            raise Invalid(f"private networks: {error}", field="private_networks") from None
    return await _change_app(
        engine,
        app,
        lambda stands: msgspec.structs.replace(
            stands,
            late=late or stands.late,
            unclosable=unclosable or stands.unclosable,
            private_networks=stands.private_networks if private_networks is None else tuple(private_networks),
        ),
    )


async def _change_app(engine: Engine, app: App, change: Callable[[App], App]) -> App:
    """To write what was read before would bring back a key that was just revoked. Raises AppAbsent, and
    as ``_change``."""

    async def look() -> App:
        for stored in await engine.ledger.apps():
            if stored.id == app.id:
                return stored
        raise AppAbsent

    return await _change(engine, f"app {app.id!r}", look, change, engine.ledger.save_app)


async def _change(
    engine: Engine,
    what: str,
    look: Callable[[], Awaitable[T]],
    change: Callable[[T], T],
    save: Callable[[T, T], Awaitable[bool]],
) -> T:
    """Again from what stands now when another change was faster, be it one of our own. ``change``: leaves what it has
    changed already as it is, so that a lost answer is no reason to give up. Raises CommitUnknown when nobody can say
    whether it is changed, Conflict when others go on changing it, and what ``look`` and ``change`` raise."""
    lost: CommitUnknown | None = None
    for _ in range(GUARD_TRIES):
        try:
            stands = await look()
            changed = change(stands)
            if await save(changed, stands):
                await _noticed(engine)
                return changed
        except CommitUnknown as error:
            lost = error
        except Unavailable as error:
            raise lost or error from None
    raise lost or Conflict(f"{what} is being changed by others all the time; repeat")


async def _noticed(engine: Engine) -> None:
    """What was just written is known here at once. It stands where it cannot be read now, too: who was told that it had
    failed would do it twice. The look at the directory finds it a little later, as in every other process."""
    with suppress(OncepayError):
        await engine.directory.refresh(force=True)


async def add_account(
    engine: Engine,
    account_id: str,
    channel: str,
    *,
    identity: Mapping[str, str],
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
) -> Account:
    """A new account, or the same identity with other keys; a retired one stays so. The identity of an account never
    changes. Raises Invalid naming what is missing or does not parse, Conflict for another identity."""
    check_number(account_id, "id")
    known = next((a for a in engine.directory.accounts() if a.id == account_id), None)
    if known is not None and (known.channel, dict(known.identity)) != (channel, dict(identity)):
        raise Conflict(f"account {account_id!r} is another identity; that never changes", field="identity")
    account = Account(
        id=account_id,
        channel=channel,
        identity=identity,
        settings=settings,
        secrets=secrets,
        revision=known.revision + 1 if known else 1,
        retired=known is not None and known.retired,
    )
    engine.channel(channel).check_account(account)
    return await _save_account(engine, account)


async def retire_account(engine: Engine, account_id: str) -> Account:
    """No new attempts; what is under way goes on, refunds too."""
    return await _set_retired(engine, account_id, retired=True)


async def reopen_account(engine: Engine, account_id: str) -> Account:
    """Take a retired account back into use, with the keys that it has."""
    return await _set_retired(engine, account_id, retired=False)


async def _set_retired(engine: Engine, account_id: str, *, retired: bool) -> Account:
    account = engine.directory.account(account_id)
    changed = msgspec.structs.replace(account, retired=retired, revision=account.revision + 1)
    return await _save_account(engine, changed)


async def _save_account(engine: Engine, account: Account) -> Account:
    """Raises Conflict when another change was faster."""
    if not await engine.ledger.save_account(engine.directory.sealed(account, engine.clock.now_ms())):
        raise Conflict(f"account {account.id!r} was changed at the same moment; repeat")
    await _noticed(engine)
    return account


def read_url(engine: Engine, app: App, url: str) -> tuple[str, str]:
    """An endpoint's URL as it may be shown, and the login that stood in it. Raises Invalid, which never quotes that."""
    if len(url) > URL_MAX:
        raise Invalid(f"url is longer than {URL_MAX} characters", field="url")
    try:
        return engine.read_target(url, app.private_networks)
    except ValueError as error:
        raise Invalid(f"url: {error}", field="url") from None


async def add_endpoint(engine: Engine, app: App, url: str) -> tuple[Endpoint, str]:
    """Where the app hears events, and the secret that signs them, shown this once. Raises Invalid for a target that
    is refused (not https, a private address that the app's networks do not allow ...), KeyReused when it has one of
    this url, Conflict when it has too many."""
    shown, login = read_url(engine, app, url)
    endpoint_id = engine.dice.token()[:16]
    secret = _new_secret(engine)
    endpoint = Endpoint(
        id=endpoint_id,
        app=app.id,
        url=shown,
        secrets=(engine.directory.seal_secret(endpoint_id, secret),),
        login=engine.directory.seal_login(endpoint_id, login),
        created_ms=engine.clock.now_ms(),
    )
    await _check_place(engine, app, shown)
    made = await _make(
        lambda: engine.ledger.save_endpoint(endpoint, None),
        lambda: _stands(engine.ledger.endpoints(), lambda stored: endpoint.secrets[0] in stored.secrets),
    )
    if not made:
        await _check_place(engine, app, shown)
        raise Conflict("another endpoint was added at the same moment; repeat")
    await _noticed(engine)
    return endpoint, secret


async def _check_place(engine: Engine, app: App, url: str) -> None:
    """Whether there is room for an endpoint. Raises KeyReused, Conflict."""
    known = [stored for stored in await engine.ledger.endpoints() if stored.app == app.id]
    for endpoint in known:
        if endpoint.url == url:
            raise KeyReused("there is an endpoint of this url", field="url", endpoint=endpoint.id)
    if len(known) >= ENDPOINTS_MAX:
        raise Conflict(f"an app has {ENDPOINTS_MAX} endpoints at most")


def _new_secret(engine: Engine) -> str:
    raw = sha256(f"{engine.dice.token()}{engine.dice.token()}".encode()).digest()
    return f"whsec_{base64.b64encode(raw).decode()}"


async def _change_endpoint(
    engine: Engine, app: App, endpoint_id: str, change: Callable[[Endpoint], Endpoint]
) -> Endpoint:
    """Raises EndpointAbsent when there is none or it is gone by then, and as ``_change``."""

    async def look() -> Endpoint:
        for stored in await engine.ledger.endpoints():
            if stored.id == endpoint_id and stored.app == app.id:
                return stored
        raise EndpointAbsent

    return await _change(engine, f"endpoint {endpoint_id}", look, change, engine.ledger.save_endpoint)


async def rotate_secret(engine: Engine, app: App, endpoint_id: str) -> str:
    """A second secret: messages carry both signatures until the next rotation. Shown this once."""
    secret = _new_secret(engine)
    sealed = engine.directory.seal_secret(endpoint_id, secret)

    def beside(stands: Endpoint) -> Endpoint:
        older = (known for known in stands.secrets if known != sealed)
        return msgspec.structs.replace(stands, secrets=(sealed, *older)[:SECRETS_MAX])

    await _change_endpoint(engine, app, endpoint_id, beside)
    return secret


async def change_login(engine: Engine, app: App, endpoint_id: str, url: str) -> Endpoint:
    """Another user or password at the same broker; what waits to be delivered stays. ``url``: the endpoint's own, with
    the new login in it. Raises Invalid when it is another place."""
    shown, login = read_url(engine, app, url)
    sealed = engine.directory.seal_login(endpoint_id, login)

    def logged_in(stands: Endpoint) -> Endpoint:
        if shown != stands.url:
            raise Invalid("url: another place than the endpoint's; only its user and password can change", field="url")
        return msgspec.structs.replace(stands, login=sealed)

    return await _change_endpoint(engine, app, endpoint_id, logged_in)


async def enable_endpoint(engine: Engine, app: App, endpoint_id: str) -> Endpoint:
    """Deliver to it again."""
    return await _change_endpoint(engine, app, endpoint_id, lambda stands: msgspec.structs.replace(stands, disabled=""))


async def remove_endpoint(engine: Engine, app: App, endpoint_id: str) -> None:
    """Forget it and what was still to be delivered to it. Raises EndpointAbsent."""
    if not await engine.ledger.delete_endpoint(app.id, endpoint_id):
        raise EndpointAbsent
    await _noticed(engine)

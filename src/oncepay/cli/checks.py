"""What ``oncepay doctor`` looks at. Each finding stands alone: one that failed does not hide the others, except where
there is nothing left to look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from oncepay.assembly import SystemClock, SystemDice
from oncepay.channels import registry
from oncepay.config import Config, ConfigInvalid, read_master_key
from oncepay.domain.errors import OncepayError
from oncepay.engine.directory import Directory
from oncepay.engine.vault import Vault
from oncepay.ports import Account, Answered, Ledger, Request, Transport
from oncepay.store.open import open_ledger
from oncepay.store.refusals import StartRefused
from oncepay.transport import HttpTransport

SKEW_MAX_MS: Final = 60_000  # channels refuse at five minutes
ANSWER_S: Final = 8.0
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0"})  # noqa: S104 - to warn about them


class Finding(msgspec.Struct, frozen=True):
    """``level``: ok; advice (better otherwise); failed (mend it)."""

    level: Literal["ok", "advice", "failed"]
    check: str
    text: str


async def examine(config: Config, *, offline: bool) -> AsyncIterator[Finding]:
    """Everything, one finding after the other."""
    vault: Vault | None = None
    try:
        vault = Vault(read_master_key(config), SystemDice().token)
        yield Finding("ok", "master key", "32 bytes")
    except ConfigInvalid as error:
        yield Finding("failed", "master key", error.detail)
    yield _public_url(config)
    if config.redis_url:
        yield await _redis(config)
    try:
        ledger = await open_ledger(config.database_url, token=SystemDice().token, migrate=False)
    except (StartRefused, OncepayError, OSError) as error:
        yield Finding("failed", "database", str(error))
        return
    transport = HttpTransport()
    try:
        async for finding in _as_far_as_it_goes("database", _database(ledger)):
            yield finding
        if vault is not None:
            seen = _accounts(ledger, vault, None if offline else transport)
            async for finding in _as_far_as_it_goes("accounts", seen):
                yield finding
        async for finding in _as_far_as_it_goes("apps", _directory(ledger)):
            yield finding
        if not offline:
            yield await _own_door(config, transport)
    finally:
        await transport.close()
        await ledger.close()


async def _as_far_as_it_goes(check: str, findings: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    """A database that dies meanwhile is a finding too, and takes none away."""
    try:
        async for finding in findings:
            yield finding
    except (StartRefused, OncepayError, OSError) as error:
        yield Finding("failed", check, str(error))


def _public_url(config: Config) -> Finding:
    parts = urlsplit(config.url)
    if parts.hostname in LOOPBACK:
        return Finding("advice", "public URL", f"{config.url} is this machine only: no channel outside can notify us")
    if parts.scheme != "https":
        return Finding("advice", "public URL", f"{config.url} is not https; channels insist on it")
    return Finding("ok", "public URL", config.url)


async def _redis(config: Config) -> Finding:
    """Nothing depends on it, so nothing else would say that it is not there."""
    try:
        import redis

        from oncepay.shared.link import client_of
    except ModuleNotFoundError:
        return Finding("failed", "Redis", "redis is not installed: pip install 'oncepay[redis]'")
    try:
        async with client_of(config.redis_url) as client:
            await client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return Finding("failed", "Redis", f"does not answer, so no process wakes another: {error}")
    return Finding("ok", "Redis", "answers")


async def _database(ledger: Ledger) -> AsyncIterator[Finding]:
    yield Finding("ok", "database", f"installation {ledger.installation}, at this release's tables")
    now_ms = SystemClock().now_ms()
    stats = await ledger.stats(now_ms)
    for name, more in (("cases_open", "oncepay cases list"), ("deliveries_parked", "see GET /v1/deliveries")):
        count = int(stats.get(name, 0))
        yield Finding("advice" if count else "ok", name.replace("_", " "), f"{count}" + (f": {more}" if count else ""))
    late_s = stats.get("payments_due_age_ms", 0) / 1000
    if late_s > 60:
        yield Finding("advice", "due", f"the oldest payment has been due for {late_s:.0f} s: does anything work?")
    from oncepay.store.sqlite import SqliteLedger

    if isinstance(ledger, SqliteLedger):
        yield _sqlite()
        return
    from oncepay.store.postgres import PostgresLedger

    assert isinstance(ledger, PostgresLedger)
    yield _skew("clock against the database", await ledger.clock_ms() - SystemClock().now_ms())
    for setting in await ledger.examine():
        level: Literal["ok", "advice", "failed"] = "failed" if setting.level == "unsafe" else "advice"
        if setting.level == "fine":
            yield Finding("ok", setting.name, setting.actual)
        else:
            yield Finding(level, setting.name, f"is {setting.actual}, better {setting.recommended}: {setting.why}")


def _sqlite() -> Finding:
    """It would not have been opened with unsafe settings."""
    import apsw

    return Finding("ok", "SQLite", f"{apsw.sqlite_lib_version()}, write-ahead log, every commit flushed")


async def _accounts(ledger: Ledger, vault: Vault, transport: Transport | None) -> AsyncIterator[Finding]:
    directory, sealed = Directory(ledger, vault), await ledger.accounts()
    if not sealed:
        yield Finding("advice", "accounts", "there is none: oncepay account add")
    for row in sealed:
        check = f"account {row.id}"
        try:
            account = directory.open(row)
            channel = registry.channel(row.channel)
            channel.check_account(account)
        except OncepayError as error:
            yield Finding("failed", check, error.detail)
            continue
        yield Finding("ok", check, "opens with the master key; its keys parse")
        if transport is None or row.retired:
            continue
        request = channel.build_keys(account, now_ms=SystemClock().now_ms(), nonce=SystemDice().token())
        if request is not None:
            for finding in await _called(check, account, request, transport):
                yield finding


async def _called(check: str, account: Account, request: Request, transport: Transport) -> list[Finding]:
    """A signed call that changes nothing: whether the channel is reached, knows us, and is understood."""
    host = urlsplit(request.url).netloc
    answer = await transport.send(request, ANSWER_S)
    now_ms = SystemClock().now_ms()
    if not isinstance(answer, Answered):
        return [Finding("failed", check, f"{host} is not reached: {answer.why}")]
    found = [_clock(f"clock against {host}", answer.headers["date"], now_ms)] if "date" in answer.headers else []
    if answer.status in {401, 403}:
        return [*found, Finding("failed", check, f"{host} turns it away: HTTP {answer.status} {answer.body[:200]!r}")]
    if answer.status != 200:
        return [*found, Finding("ok", check, f"{host} answers HTTP {answer.status}: reached, keys not offered")]
    believed = registry.channel(account.channel).read_keys(answer, account, now_ms=now_ms) is not None
    if not believed:
        return [*found, Finding("failed", check, f"{host} answers, and its signature does not verify with our keys")]
    return [*found, Finding("ok", check, f"{host} knows it, and its signature verifies")]


def _clock(check: str, date: str, now_ms: int) -> Finding:
    try:
        return _skew(check, int(parsedate_to_datetime(date).timestamp() * 1000) - now_ms)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return Finding("advice", check, f"its Date is none, so nothing is known of our clock: {date[:60]!r}")


def _skew(check: str, ahead_ms: int) -> Finding:
    level: Literal["ok", "failed"] = "failed" if abs(ahead_ms) > SKEW_MAX_MS else "ok"
    return Finding(level, check, f"ours is {abs(ahead_ms) / 1000:.1f} s {'behind' if ahead_ms > 0 else 'ahead'}")


async def _directory(ledger: Ledger) -> AsyncIterator[Finding]:
    apps, endpoints = await asyncio.gather(ledger.apps(), ledger.endpoints())
    if not apps:
        yield Finding("advice", "apps", "there is none: oncepay app create")
    for app in apps:
        own = [endpoint for endpoint in endpoints if endpoint.app == app.id]
        disabled = [endpoint for endpoint in own if endpoint.disabled]
        if not app.keys:
            yield Finding("advice", f"app {app.id}", "has no key")
        elif disabled:
            yield Finding("advice", f"app {app.id}", f"{disabled[0].url} is disabled: {disabled[0].disabled}")
        elif not own:
            yield Finding("advice", f"app {app.id}", "has no endpoint: it must pull GET /v1/events")
        else:
            yield Finding("ok", f"app {app.id}", f"keys: {len(app.keys)}, endpoints: {len(own)}")


async def _own_door(config: Config, transport: Transport) -> Finding:
    answer = await transport.send(Request(method="GET", url=f"{config.url}/livez", headers=()), ANSWER_S)
    if isinstance(answer, Answered) and answer.status == 200:
        return Finding("ok", "our own door", f"{config.url}/livez answers")
    why = f"HTTP {answer.status}" if isinstance(answer, Answered) else answer.why
    return Finding("advice", "our own door", f"{config.url}/livez does not answer from here ({why})")

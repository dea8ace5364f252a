"""The vendor's own keys: fetched when a message names one we do not hold, and from time to time. Old ones stay."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from oncepay.domain.errors import OncepayError
from oncepay.engine.core import Engine, log
from oncepay.ports import Account

KEYS_DEADLINE_S: Final = 8.0
KEYS_GAP_MS: Final = 60_000  # an unknown key in a forged message must not make us ask all the time


def refresh_keys(engine: Engine, account: Account) -> None:
    """Fetch the vendor's keys of an account in the background, at most once a minute."""
    if account.id in engine.refreshing:
        return
    engine.refreshing.add(account.id)
    task = asyncio.get_running_loop().create_task(_refresh_later(engine, account))
    engine.background.add(task)
    task.add_done_callback(engine.background.discard)


async def _refresh_later(engine: Engine, account: Account) -> None:
    try:
        await fetch_keys(engine, account)
    except OncepayError as error:
        log.warning("keys.unfetched account=%s why=%s", account.id, error.detail)
    except Exception:  # whatever it was: they are asked for again
        log.exception("keys.failed account=%s", account.id)
    await engine.clock.sleep(KEYS_GAP_MS / 1000)
    engine.refreshing.discard(account.id)


async def fetch_keys(engine: Engine, account: Account) -> bool:
    """Ask for the vendor's keys and store them with the account; whether any was new."""
    channel = engine.channels[account.channel]
    request = channel.build_keys(account, now_ms=engine.clock.now_ms(), nonce=engine.dice.token())
    if request is None:
        return False
    answer = await engine.transport.send(request, KEYS_DEADLINE_S)
    settings = channel.read_keys(answer, account, now_ms=engine.clock.now_ms())
    if settings is None:
        log.warning("keys.refused account=%s", account.id)
        return False
    if settings == account.settings:
        return False
    changed = msgspec.structs.replace(account, settings=settings, revision=account.revision + 1)
    saved = await engine.ledger.save_account(engine.directory.sealed(changed, engine.clock.now_ms()))
    await engine.directory.refresh(force=True)
    log.info("keys.fetched account=%s revision=%d saved=%s", account.id, changed.revision, saved)
    return saved

"""Intake: the one door of evidence that comes by itself. Verified over the raw bytes, matched to its payment by the
number it speaks of, durable before it is acknowledged. No message can poison a payment, none is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec

from oncepay.domain.change import CaseOpened, Hear
from oncepay.domain.errors import AccountAbsent, Busy, Unavailable
from oncepay.domain.ids import payment_of
from oncepay.domain.payment import Payment
from oncepay.engine.core import Engine, apply, log
from oncepay.engine.keys import refresh_keys
from oncepay.engine.metrics import NOTIFICATIONS, POISONED, labelled
from oncepay.ports import Account, Acknowledgement, Channel, Notice, Refused, UnappliedRow

# One answer to all that is not believed, whatever the reason: it tells a stranger nothing.
REFUSED = Acknowledgement(status=404, body=b'{"code":"FAIL","message":"refused"}')
BACK_OFF_MS = 3_600_000  # a payment whose core raises is looked at hourly


async def notification(
    engine: Engine, channel_name: str, account_id: str, headers: Mapping[str, str], body: bytes
) -> Acknowledgement:
    """Take a notification in. The answer is the vendor's "taken" only once all of it is durable; anything else makes
    the vendor send it again. ``headers``: names in lower case."""
    channel = engine.channels.get(channel_name)
    try:
        account = engine.directory.account(account_id)
    except AccountAbsent:
        account = None
    if channel is None or account is None or account.channel != channel_name:
        labelled(NOTIFICATIONS, "unknown", "refused").inc()
        return REFUSED
    notice = _verified(engine, channel, account, headers, body)
    if notice is None:
        return REFUSED
    try:
        outcome = await _place(engine, account, notice, headers=headers, body=body)
    except (Unavailable, Busy) as error:
        labelled(NOTIFICATIONS, channel.name, "later").inc()
        log.warning("notification.postponed channel=%s why=%s", channel.name, error.detail)
        return channel.acknowledge(taken=False)
    labelled(NOTIFICATIONS, channel.name, outcome).inc()
    return REFUSED if outcome == "refused" else channel.acknowledge(taken=True)


def _verified(
    engine: Engine, channel: Channel, account: Account, headers: Mapping[str, str], body: bytes
) -> Notice | None:
    read = channel.read_notification(headers, body, account, now_ms=engine.clock.now_ms())
    if isinstance(read, Notice):
        return read
    labelled(NOTIFICATIONS, channel.name, "probe" if read.probe else "refused").inc()
    if not read.probe:
        log.warning("notification.refused channel=%s account=%s why=%s", channel.name, account.id, read.why)
    if read.refresh:
        refresh_keys(engine, account)
    return None


async def _place(engine: Engine, account: Account, notice: Notice, *, headers: Mapping[str, str], body: bytes) -> str:
    channel = engine.channels[account.channel]
    number = notice.numbers[0] if notice.numbers else ""
    payment_id = payment_of(number)
    payment = engine.recent(payment_id) if payment_id else None
    if payment is None and payment_id:
        payment = await engine.find(payment_id)
    if payment is None:
        await _unplaced(engine, account, number, notice)
        return "unplaced"
    attempt = payment.attempt(number)
    if attempt is not None and attempt.account != account.id:
        # it is believed only if it verifies with the keys of the account that the attempt belongs to
        account = engine.directory.account(attempt.account)
        again = channel.read_notification(headers, body, account, now_ms=engine.clock.now_ms())
        if isinstance(again, Refused) or account.channel != channel.name:
            log.warning("notification.refused channel=%s account=%s why=not its account", channel.name, account.id)
            return "refused"
        notice = again
    heard = Hear(evidence=notice.evidence, channel=channel.name, account=account.id)
    await take_in(engine, payment, heard, body)
    return "taken"


async def take_in(engine: Engine, payment: Payment, heard: Hear, raw: bytes) -> Payment:
    """Apply what was heard; if the core raises, keep it to be tried again. Durable when this returns. Raises
    Unavailable when the store does not answer, Busy when others hold the payment or too much waits."""
    try:
        return await apply(engine, payment, heard, raw=raw)
    except (Unavailable, Busy):  # of the store, and of now: the channel sends it again, and is asked besides
        raise
    except Exception as error:  # whatever the core raises must lose nothing
        await keep(engine, payment.id, heard, error)
        return payment


async def keep(engine: Engine, payment_id: str, heard: Hear, error: Exception) -> None:
    """Keep a message that could not be taken in, back the payment off to hourly, call a person."""
    POISONED.inc()
    log.exception("message.kept payment=%s", payment_id, exc_info=error)
    now_ms = engine.clock.now_ms()
    body = msgspec.json.encode(heard)
    row = UnappliedRow(
        payment_id=payment_id,
        key=blake2b(body, digest_size=16).hexdigest(),
        channel=heard.channel,
        account=heard.account,
        road=heard.evidence[0].road.value if heard.evidence else "",
        body=body,
        why=f"{type(error).__name__}: {error}"[:500],
        at_ms=now_ms,
    )
    await engine.ledger.keep_unapplied(row)
    await back_off(engine, payment_id, error)


async def take_in_kept(engine: Engine, payment: Payment, kept: Sequence[UnappliedRow]) -> Payment:
    """Try again what was kept. What is taken in now is kept no more; raises what the core still raises."""
    for row in kept:
        payment = await apply(engine, payment, msgspec.json.decode(row.body, type=Hear))
        await engine.ledger.drop_unapplied(row.payment_id, row.key)
    return payment


async def back_off(engine: Engine, payment_id: str, error: Exception) -> None:
    """The core raises on this payment: hourly from now on, with one case."""
    now_ms = engine.clock.now_ms()
    await engine.ledger.postpone(payment_id, 0, now_ms + BACK_OFF_MS)
    case = CaseOpened(
        about=payment_id,
        kind="poisoned",
        text=f"The core could not take something in ({type(error).__name__}: {error}). It is kept and tried hourly.",
        payment_id=payment_id,
        due_ms=now_ms + BACK_OFF_MS,
    )
    await engine.ledger.open_case(case, now_ms)


async def _unplaced(engine: Engine, account: Account, number: str, notice: Notice) -> None:
    """A valid message that fits nothing may be a paid order that we lost: a person must look."""
    case = CaseOpened(
        about=f"{account.id}:{number}",
        kind="unplaced_money",
        text=f"{account.channel} speaks of {number or 'a number'} that fits no payment here. This may be money that we"
        " cannot place.",
        account=account.id,
        data={"number": number, "echo": notice.echo, "evidence": msgspec.to_builtins(notice.evidence)},
    )
    log.warning("case.opened about=%s kind=%s", case.about, case.kind)
    await engine.ledger.open_case(case, engine.clock.now_ms())

"""Changes for tests of the ledger, built straight from the structs: the store must not need the core to be right."""

from __future__ import annotations

from typing import Any

import msgspec

from oncepay.domain.attempt import Attempt, Fact, Road, Status
from oncepay.domain.change import Act, CaseOpened, Change, DeliveryDue, Drafted, Event, Evidence, Raw, Verb
from oncepay.domain.ids import in_number, payment_id
from oncepay.domain.payment import Payment, PaymentStatus
from oncepay.domain.snapshot import snapshot

T0 = 1_700_000_000_000
INSTALLATION = "installation-of-tests"


def payment(order_no: str = "A-1", app: str = "shop", *, installation: str = INSTALLATION, **fields: Any) -> Payment:
    """A new open payment."""
    id_ = payment_id(installation, app, order_no)
    known: dict[str, Any] = {
        "minor": 8800,
        "currency": "CNY",
        "subject": "tea",
        "created_ms": T0,
        "deadline_ms": T0 + 7_200_000,
    }
    return Payment(id=id_, app=app, order_no=order_no, **(known | fields))


def created(order_no: str = "A-1", app: str = "shop", *, due_ms: int | None = None, **fields: Any) -> Change:
    """The change that creates a payment."""
    made = payment(order_no, app, **fields)
    return Change(rev=0, payment=made, at_ms=made.created_ms, due_ms=due_ms, change_id=f"made-{made.id}")


def moved(before: Payment, at_ms: int = T0 + 1, *, due_ms: int | None = None, by: str = "x", **fields: Any) -> Change:
    """A change of fields without anything beside."""
    after = msgspec.structs.replace(before, rev=before.rev + 1, **fields)
    return Change(rev=before.rev, payment=after, at_ms=at_ms, due_ms=due_ms, change_id=f"{by}-{after.id}-{after.rev}")


def attempt(of: Payment, index: int = 0, **fields: Any) -> Attempt:
    """An attempt of a payment."""
    known: dict[str, Any] = {"method": "native", "minor": of.minor, "currency": of.currency, "created_ms": T0}
    return Attempt(no=in_number(of.id, index), channel="wechat", account="acct", **(known | fields))


def started(before: Payment, *, body: bytes = b'{"prepay":1}', due_ms: int | None = T0 + 10_000) -> Change:
    """An attempt is made, with the first body sent for its number."""
    new = attempt(before)
    change = moved(before, attempts=(*before.attempts, new), due_ms=due_ms)
    drafted = Drafted(no=new.no, account="acct", direction=new.direction, refund_no="", body=body, created_ms=T0)
    return msgspec.structs.replace(change, drafted=(drafted,))


def paid(
    before: Payment,
    *,
    endpoints: tuple[str, ...] = (),
    lent_ms: int = T0 + 30_000,
    trade_no: str = "420001",
    **more: Any,
) -> Change:
    """A notification: evidence with its bytes, an event, its deliveries, all in one change."""
    no = in_number(before.id, 0)
    attempts = tuple(
        msgspec.structs.replace(a, status=Status.SUCCEEDED, trade_no=trade_no) if a.no == no else a
        for a in before.attempts
    )
    change = moved(
        before, T0 + 5_000, by="paid", status=PaymentStatus.PAID, version=before.version + 1, attempts=attempts, paid_by=no
    )  # fmt: skip
    evidence = Evidence(
        number=no, fact=Fact.MOVED, road=Road.NOTIFICATION, words="SUCCESS", minor=before.minor, currency="CNY",
        trade_no=trade_no, channel_ms=T0 + 4_000, channel_day=20231114,
    )  # fmt: skip
    event = Event(
        version=change.payment.version, changes=("paid",), snapshot=snapshot(change.payment), at_ms=T0 + 5_000
    )
    return msgspec.structs.replace(
        change,
        **{
            "evidence": (evidence,),
            "event": event,
            "raw": Raw(body=b'{"notify":1}', month=202311),
            "urgency": "evidence",
            "deliveries": tuple(DeliveryDue(endpoint_id=e, due_ms=lent_ms) for e in endpoints),
        }
        | more,
    )


def case(about: Payment, kind: str = "unsettled", text: str = "look at this", **fields: Any) -> CaseOpened:
    """A case about a payment."""
    return CaseOpened(about=about.id, kind=kind, text=text, payment_id=about.id, **fields)


def act(case_id: str, verb: Verb = Verb.NOTE, reason: str = "seen", **fields: Any) -> Act:
    """What somebody did with a case."""
    known: dict[str, Any] = {"id": f"{verb}-{reason}", "actor": "ann", "at_ms": T0 + 5}
    return Act(case_id=case_id, verb=verb, reason=reason, **(known | fields))


def acting(before: Payment, *acts: Act) -> Change:
    """A change that somebody made by a case."""
    return msgspec.structs.replace(moved(before, by="act"), acts=acts)


def raising(before: Payment, *cases: CaseOpened) -> Change:
    """A change that raises cases."""
    return msgspec.structs.replace(moved(before), cases=cases)

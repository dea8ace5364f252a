"""What a change is in columns, and back: shared by both databases. Column orders are those of the migrations.

The payment's ``doc`` (the struct as JSON) is the truth; its other columns are for the guard, for lists and for what is
due. ``due_ms`` lives only in its column: a query without news moves it and nothing else.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from oncepay.domain.change import Act, CaseOpened, Change, Verb
from oncepay.domain.errors import Invalid
from oncepay.domain.ids import case_id
from oncepay.domain.payment import Payment
from oncepay.ports import App, CaseRow, DeliveryMark, DeliveryRow, Endpoint, EventRow, EvidenceRow, UnappliedRow

INT_MAX: Final = 2**63 - 1  # BIGINT
KEPT_MS: Final = 7_200_000  # a payment with a kept message is due within this; it is put off for an hour at most

_encode = msgspec.json.Encoder().encode
_decode_payment = msgspec.json.Decoder(Payment).decode
_decode_any = msgspec.json.Decoder().decode

Row = tuple[Any, ...]


class Written(NamedTuple):
    """All rows of a change, one tuple of columns each.

    =============  =========================================================================================
    payment        id, app_id, order_no, status, currency, minor, subject, created_ms, rev, version, due_ms,
                   change_id, doc
    attempts       payment_id, no, app_id, account_id, direction, refund_no, created_ms, body
    credentials    payment_id, no, body
    evidence       payment_id, rev, no, attempt_no, account_id, road, fact, words, trade_no, minor, currency,
                   channel_ms, channel_day, digest, at_ms, wrong
    raw            month, payment_id, rev, no, body
    events         payment_id, version, app_id, changes, data, at_ms
    deliveries     payment_id, version, endpoint_id, app_id, status, tries, due_ms, last
    acts           case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms
    cases          id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
    resolved       note, id: the cases that are closed with it
    =============  =========================================================================================
    """

    payment: Row
    attempts: list[Row]
    credentials: list[Row]
    evidence: list[Row]
    raw: list[Row]
    events: list[Row]
    deliveries: list[Row]
    acts: list[Row]
    cases: list[Row]
    resolved: list[Row]


_NONE: Final[list[Row]] = []  # shared by all that have no rows of a kind; never appended to


def write(change: Change) -> Written:
    """The rows of a change. Raises Invalid for what no database can hold."""
    payment = change.payment
    try:
        return Written(
            payment_row(change),
            attempt_rows(change) if change.drafted else _NONE,
            [(payment.id, *change.credential)] if change.credential is not None else _NONE,
            evidence_rows(change) if change.evidence else _NONE,
            [(change.raw.month, payment.id, payment.rev, 0, change.raw.body)] if change.raw is not None else _NONE,
            event_rows(change) if change.event is not None else _NONE,
            delivery_rows(change) if change.deliveries else _NONE,
            [act_row(act, payment.id) for act in change.acts] if change.acts else _NONE,
            [case_row(case, change.at_ms, payment) for case in change.cases] if change.cases else _NONE,
            [(act.reason, act.case_id) for act in change.acts if act.resolves] if change.acts else _NONE,
        )
    except UnicodeEncodeError as error:
        raise Invalid("a text holds half of a surrogate pair", payment=payment.id) from error


def payment_row(change: Change) -> Row:
    """The columns of the payment as this change leaves it."""
    p = change.payment
    return (
        p.id, p.app, p.order_no, p.status.value, p.currency, p.minor, p.subject, p.created_ms, p.rev, p.version,
        change.due_ms, change.change_id, _encode(p).decode(),
    )  # fmt: skip


def attempt_rows(change: Change) -> list[Row]:
    """The directory of attempts: written once, with the first body sent for the number."""
    p = change.payment
    return [
        (p.id, d.no, p.app, d.account, d.direction.value, d.refund_no, d.created_ms, d.body) for d in change.drafted
    ]


def evidence_rows(change: Change) -> list[Row]:
    """The facts of one message. ``digest`` is of its bytes, and outlives them."""
    p = change.payment
    of_message = digest(change.raw.body) if change.raw is not None else ""
    rows = []
    for no, e in enumerate(change.evidence):
        attempt = p.attempt(e.number)
        account = e.account or (attempt.account if attempt is not None else "")
        rows.append((
            p.id, p.rev, no, e.number, account, e.road.value, e.fact.value, e.words, e.trade_no, e.minor, e.currency,
            e.channel_ms, e.channel_day, of_message or digest(_encode(e)), change.at_ms, e.wrong,
        ))  # fmt: skip
    return rows


def event_rows(change: Change) -> list[Row]:
    """The event, if the change has one."""
    event = change.event
    if event is None:
        return []
    p = change.payment
    return [(p.id, event.version, p.app, ",".join(event.changes), _encode(event.snapshot).decode(), event.at_ms)]


def delivery_rows(change: Change) -> list[Row]:
    """The event on its way. Its ``due_ms`` may already be a lease: whoever commits it may deliver it at once."""
    p = change.payment
    version = change.event.version if change.event is not None else p.version
    return [(p.id, version, d.endpoint_id, p.app, "due", 0, d.due_ms, "") for d in change.deliveries]


def case_row(case: CaseOpened, at_ms: int, payment: Payment | None) -> Row:
    """A case as it is raised for the first time: its payment's app's. A case about an account is no app's, whichever
    payment raised it."""
    app = payment.app if payment is not None and case.payment_id else ""
    return (
        case_id(case.about, case.kind), case.payment_id, case.account, app, case.kind, "open", case.text,
        at_ms, case.due_ms, 1, "", json_of(case.data),
    )  # fmt: skip


def act_row(act: Act, payment_id: str) -> Row:
    """The columns of an act. ``payment_id``: of the payment that it touched, "" for none."""
    return (
        act.case_id, act.id, payment_id, act.verb.value, act.actor, act.reason, act.evidence, act.number, act.did,
        act.at_ms,
    )  # fmt: skip


def mark_row(mark: DeliveryMark) -> Row:
    """status, tries, due_ms, last, payment_id, version, endpoint_id."""
    return (mark.status, mark.tries, mark.due_ms, mark.last, mark.payment_id, mark.version, mark.endpoint_id)


def digest(raw: bytes) -> str:
    """What stays of a message when its bytes are dropped: 128 bits of blake2b in hex."""
    return blake2b(raw, digest_size=16).hexdigest()


# -- the door ----------------------------------------------------------------------------------------------------


def check(change: Change) -> None:
    """Refuse what a database cannot hold before it joins a group. Raises Invalid.

    NUL and lone surrogates in text, integers outside of 0 to 2**63 - 1, and a revision that does not follow.
    """
    p = change.payment
    if p.rev != change.rev + 1:
        raise Invalid(f"revision {p.rev} does not follow {change.rev}", payment=p.id)
    texts = [p.id, p.app, p.order_no, p.currency, p.subject, change.change_id]
    numbers = [p.minor, p.created_ms, p.rev, p.version, change.due_ms or 0, change.at_ms]
    if change.evidence or change.event is not None or change.cases or change.acts:
        _news(change, texts, numbers)
    if change.drafted or change.credential is not None or change.deliveries or change.raw is not None:
        _errands(change, texts, numbers)
    check_texts(*texts)
    check_ints(*numbers)


def check_texts(*texts: str) -> None:
    """Refuse NUL and lone surrogates: PostgreSQL holds neither. Raises Invalid."""
    joined = "\n".join(texts)
    if "\0" in joined:
        raise Invalid("a text holds a NUL character")
    if not joined.isascii():
        try:
            joined.encode()
        except UnicodeEncodeError as error:
            raise Invalid("a text holds half of a surrogate pair") from error


def check_ints(*numbers: int) -> None:
    """Refuse what does not fit a column. Raises Invalid."""
    if min(numbers) < 0 or max(numbers) > INT_MAX:
        raise Invalid(f"a number is not within 0 and {INT_MAX}: {min(numbers)} to {max(numbers)}")


def check_mark(mark: DeliveryMark) -> None:
    """The same for a mark: a bad one must not cost its neighbours a second delivery. Raises Invalid."""
    check_texts(mark.payment_id, mark.endpoint_id, mark.status, mark.last)
    check_ints(mark.version, mark.tries, mark.due_ms or 0)


def _news(change: Change, texts: list[str], numbers: list[int]) -> None:
    """What of the core's own output becomes a column (texts within JSON are escaped there)."""
    for e in change.evidence:
        texts += (e.number, e.words, e.trade_no, e.currency or "", e.wrong, e.account)
        numbers += (e.minor or 0, e.channel_ms, e.channel_day)
    if change.event is not None:
        texts += change.event.changes
        numbers += (change.event.version, change.event.at_ms)
    for c in change.cases:
        texts += (c.about, c.kind, c.text, c.payment_id, c.account)
        numbers.append(c.due_ms)
    for act in change.acts:
        texts += _texts_of(act)
        numbers.append(act.at_ms)


def check_act(act: Act) -> None:
    """Refuse an act that a database cannot hold. Raises Invalid."""
    check_texts(*_texts_of(act))
    check_ints(act.at_ms)


def _texts_of(act: Act) -> tuple[str, ...]:
    return (act.case_id, act.id, act.payment_id, act.actor, act.reason, act.evidence, act.number, act.did)


def _errands(change: Change, texts: list[str], numbers: list[int]) -> None:
    """The same of what the engine adds."""
    for d in change.drafted:
        texts += (d.no, d.account, d.refund_no)
        numbers.append(d.created_ms)
    if change.credential is not None:
        texts += change.credential
    for to in change.deliveries:
        texts.append(to.endpoint_id)
        numbers.append(to.due_ms)
    if change.raw is not None:
        numbers.append(change.raw.month)


# -- back --------------------------------------------------------------------------------------------------------


def payment_of(doc: str | bytes) -> Payment:
    """The aggregate as it was written."""
    return _decode_payment(doc)


def evidence_of(row: Row) -> EvidenceRow:
    """From payment_id, rev, no, attempt_no, account_id, road, fact, words, trade_no, minor, currency, channel_ms,
    digest, at_ms, wrong."""
    (payment_id, rev, no, number, account, road, fact, words, trade_no, minor, currency, channel_ms, hash_, at_ms,
     wrong) = row  # fmt: skip
    return EvidenceRow(
        payment_id=payment_id, rev=rev, no=no, number=number, account=account, road=road, fact=fact, words=words,
        trade_no=trade_no, minor=minor, currency=currency, channel_ms=channel_ms, digest=hash_, at_ms=at_ms,
        wrong=wrong,
    )  # fmt: skip


def event_of(row: Row, cursor: str = "") -> EventRow:
    """From payment_id, version, app_id, changes, data, at_ms."""
    payment_id, version, app, changes, data, at_ms = row
    return EventRow(
        payment_id=payment_id, version=version, app=app, changes=tuple(changes.split(",")) if changes else (),
        data=data.encode() if isinstance(data, str) else data, at_ms=at_ms, cursor=cursor,
    )  # fmt: skip


def delivery_of(row: Row, event: EventRow | None = None) -> DeliveryRow:
    """From payment_id, version, endpoint_id, app_id, status, tries, due_ms, last."""
    payment_id, version, endpoint_id, app, status, tries, due_ms, last = row
    return DeliveryRow(
        payment_id=payment_id, version=version, endpoint_id=endpoint_id, app=app, status=status, tries=tries,
        due_ms=due_ms, last=last, event=event,
    )  # fmt: skip


def case_of(row: Row) -> CaseRow:
    """From the columns of ``cases``."""
    id_, payment_id, account, app, kind, status, text, opened_ms, due_ms, seen, note, data = row
    return CaseRow(
        id=id_, kind=kind, status=status, text=text, payment_id=payment_id, account=account, app=app,
        opened_ms=opened_ms, due_ms=due_ms, seen=seen, note=note, data=_decode_any(data),
    )  # fmt: skip


def act_of(row: Row) -> Act:
    """From the columns of ``act``."""
    case_id_, id_, payment_id, verb, actor, reason, evidence, number, did, at_ms = row
    return Act(
        id=id_, case_id=case_id_, payment_id=payment_id, verb=Verb(verb), actor=actor, reason=reason,
        evidence=evidence, number=number, did=did, at_ms=at_ms,
    )  # fmt: skip


def unapplied_row(row: UnappliedRow) -> Row:
    """payment_id, key, channel, account_id, road, body, why, at_ms. Raises Invalid."""
    check_texts(row.payment_id, row.key, row.channel, row.account, row.road, row.why)
    check_ints(row.at_ms)
    return (row.payment_id, row.key, row.channel, row.account, row.road, row.body, row.why, row.at_ms)


def unapplied_of(row: Row) -> UnappliedRow:
    """From the columns of ``unapplied``."""
    payment_id, key, channel, account, road, body, why, at_ms = row
    return UnappliedRow(
        payment_id=payment_id, key=key, channel=channel, account=account, road=road, body=bytes(body), why=why,
        at_ms=at_ms,
    )  # fmt: skip


def app_compared(app: App | None) -> object:
    """What two states of an app must have in common to be the same. When its keys were last used is noted all the time,
    and is no change of it."""
    if app is None:
        return None
    return app.name, app.late, app.unclosable, app.private_networks, {key.hash for key in app.keys}


def endpoint_columns(endpoint: Endpoint, before: Endpoint | None) -> dict[str, Any]:
    """The columns of an endpoint by name, and those of ``before`` that may have changed, as they were written: what is
    sealed is compared sealed, since no two seals of one secret are alike. Raises Invalid."""
    e = endpoint
    check_texts(e.id, e.app, e.url, e.login, e.disabled)
    check_ints(e.created_ms)
    columns = {
        "id": e.id, "app": e.app, "url": e.url, "secrets": json_of(e.secrets), "login": e.login,
        "disabled": e.disabled, "created_ms": e.created_ms,
    }  # fmt: skip
    if before is not None:
        columns |= {
            "secrets_before": json_of(before.secrets), "login_before": before.login,
            "disabled_before": before.disabled,
        }  # fmt: skip
    return columns


def json_of(value: object) -> str:
    """Any value as JSON text. Raises Invalid for half of a surrogate pair."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError as error:
        raise Invalid("a text holds half of a surrogate pair") from error


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text that we wrote."""
    return _decode_any(text)


# -- cursors -----------------------------------------------------------------------------------------------------


def cursor(*place: str | int) -> str:
    """A place in a list, opaque to whoever holds it.

    >>> place_of(cursor(1700000000000, "0ABC"), int, str)
    (1700000000000, '0ABC')
    """
    return urlsafe_b64encode(_encode(place)).decode().rstrip("=")


def place_of(after: str, *kinds: type) -> tuple[Any, ...]:
    """The place that a cursor names. Raises Invalid unless it has parts of these kinds."""
    try:
        place = _decode_any(urlsafe_b64decode(after.encode() + b"=" * (-len(after) % 4)))
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise Invalid("not a cursor of this list", field="after") from error
    fits = isinstance(place, list) and len(place) == len(kinds)
    if not fits or not all(type(part) is kind for part, kind in zip(place, kinds, strict=True)):
        raise Invalid("not a cursor of this list", field="after")
    if any(isinstance(part, int) and not 0 <= part <= INT_MAX for part in place):
        raise Invalid("not a cursor of this list", field="after")
    check_texts(*(part for part in place if isinstance(part, str)))
    return tuple(place)


def page_of(rows: list[Any], limit: int) -> tuple[list[Any], bool]:
    """Of ``limit + 1`` rows that were asked for, those of the page, and whether there are more."""
    return rows[:limit], len(rows) > limit

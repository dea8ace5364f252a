"""``oncepay show`` and ``oncepay explain``: what happened to a payment, and what happens next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from oncepay.cli.common import as_json, opened, run
from oncepay.cli.output import money, print_json, print_table, span, when
from oncepay.domain.texts import shown

if TYPE_CHECKING:
    from oncepay.domain.payment import Payment
    from oncepay.engine.core import Engine

_HEAD: Final = frozenset({"at_ms", "what"})


@click.command()
@click.argument("about", metavar="[ID]", required=False, default="")
@click.option("--app", "app_id", default="", help="With --order-no: find the payment of an order.")
@click.option("--order-no", default="")
@as_json
def show(*, about: str, app_id: str, order_no: str, as_json: bool) -> None:
    """The story of a payment, from what was stored.

    ID: pay_..., att_..., ref_..., evt_..., case_..., the number that we gave a channel for an attempt or refund, or the
    channel's own number of the money.
    """
    _check(about, app_id, order_no)

    async def work() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        from oncepay.domain.snapshot import snapshot
        from oncepay.engine.story import timeline

        async with opened() as engine:
            payment = await find(engine, about, app_id, order_no)
            return snapshot(payment), await timeline(engine, payment)

    seen, entries = run(work())
    if as_json:
        print_json({"payment": seen, "timeline": entries})
        return
    _print_payment(seen)
    print_table(
        ("when (UTC)", "what", ""),
        [(when(e["at_ms"]), e["what"], _rest(e, seen["currency"])) for e in entries],
        empty="",
    )


@click.command()
@click.argument("about", metavar="[ID]", required=False, default="")
@click.option("--app", "app_id", default="", help="With --order-no: find the payment of an order.")
@click.option("--order-no", default="")
@as_json
def explain(*, about: str, app_id: str, order_no: str, as_json: bool) -> None:
    """Why a payment is in its state, what happens next and when.

    ID: as for `oncepay show`.
    """
    _check(about, app_id, order_no)

    async def work() -> tuple[dict[str, Any], dict[str, Any]]:
        from oncepay.domain.snapshot import snapshot
        from oncepay.engine import story

        async with opened() as engine:
            payment = await find(engine, about, app_id, order_no)
            return snapshot(payment), story.explain(engine, payment)

    seen, told = run(work())
    if as_json:
        print_json({"payment": seen, **told})
        return
    _print_payment(seen)
    for sentence in told["why"]:
        click.echo(shown(sentence))
    click.echo()
    print_table(
        ("in", "at (UTC)", "what", "about", "why"),
        [(span(s["in_s"]), when(s["at_ms"]), s["what"], s["attempt"], s["why"]) for s in told["next"]],
        empty="Nothing happens by itself any more; only news from the channel or the app would change it.",
    )


def _check(about: str, app_id: str, order_no: str) -> None:
    by_order = bool(app_id and order_no)
    if bool(app_id) != bool(order_no) or bool(about) == by_order:
        raise click.UsageError("say one of: ID, or --app and --order-no together")


async def find(engine: Engine, about: str, app_id: str, order_no: str) -> Payment:
    """The payment that is meant. Raises PaymentAbsent, CaseAbsent, AppAbsent; NumberInvalid for what is no id."""
    from oncepay.domain import errors, ids

    if order_no:
        app = engine.directory.app(app_id)
        return await engine.load(ids.payment_id(engine.ledger.installation, app.id, order_no))
    prefix, _, rest = about.rpartition("_")
    if prefix == "case":
        case = await engine.ledger.case(rest)
        if case is None:
            raise errors.CaseAbsent
        if not case.payment_id:
            raise errors.PaymentAbsent(f"{about} is about account {case.account}, not about a payment")
        return await engine.load(case.payment_id)
    if prefix.startswith("evt_"):
        rest = prefix.removeprefix("evt_")
    payment_id = ids.payment_of(rest)
    found = await engine.ledger.load(payment_id) if payment_id else None
    if found is not None:
        return found
    moved = [id_ for app in engine.directory.apps() for id_ in await engine.ledger.find_trade(app, about)]
    if len(moved) > 1:  # numbers of two channels may be the same
        raise errors.NumberInvalid(f"{about!r} is of several payments: {', '.join(f'pay_{id_}' for id_ in moved)}")
    if not moved and not payment_id:
        raise errors.NumberInvalid(
            f"{about!r} is not an id of a payment, an attempt, a refund, an event or a case, nor a channel's number of"
            " money that moved"
        )
    return await engine.load(moved[0] if moved else payment_id)


def _print_payment(seen: dict[str, Any]) -> None:
    state = seen["status"] + (" (closing)" if seen["closing"] else "")
    click.echo(
        f"{seen['id']}  order {seen['order_no']}  {money(seen['minor'], seen['currency'])}  {state}, "
        f"{money(seen['kept_minor'], seen['currency'])} kept, version {seen['version']}"
    )
    click.echo(f"{shown(seen['subject'])}; to be paid until {when(seen['deadline_ms'])} UTC")
    click.echo()


def _rest(entry: dict[str, Any], currency: str) -> str:
    """What belongs to an entry, in one line."""
    parts = []
    for name, value in entry.items():
        if name in _HEAD or value in (None, "", []) or name == "currency":
            continue
        if name == "minor":
            parts.append(money(value, currency))
        elif name.endswith("_ms"):
            parts.append(f"{name.removesuffix('_ms')}={when(value)}")
        elif isinstance(value, list):
            parts.append(f"{name}={','.join(map(str, value))}")
        else:
            parts.append(f"{name}={value}")
    return " ".join(parts)

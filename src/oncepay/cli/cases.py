"""``oncepay cases``: what a person must look at, and what a person does with it."""

from __future__ import annotations

import getpass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from oncepay.cli.common import as_json, opened, run
from oncepay.cli.output import money, print_fields, print_json, print_table, span, when

if TYPE_CHECKING:
    from oncepay.engine.cases import Look
    from oncepay.engine.core import Engine

PAGE: Final = 100


@click.group()
def cases() -> None:
    """What a person must look at, and what a person does with it.

    Every verb is kept with who did it and why. It is decided as everything else is: what makes no sense as things stand
    is refused with the reason, and what was done already is not done again. The centre may run or not.
    """


# -- looking -----------------------------------------------------------------------------------------------------


@cases.command("list")
@click.option("--all", "all_", is_flag=True, help="Resolved ones too.")
@click.option("--app", "app_id", default="", help="Only this application's.")
@click.option("--limit", default=PAGE, show_default=True, type=click.IntRange(1, 10_000))
@as_json
def list_(*, all_: bool, app_id: str, limit: int, as_json: bool) -> None:
    """Cases, oldest first: their age, the money at risk, what happens by itself and when."""
    found = run(_listed(app_id=app_id, status="" if all_ else "open", limit=limit))
    if as_json:
        print_json([_shown(seen) for seen in found])
        return
    print_table(
        ("case", "age", "kind", "about", "at risk", "by itself", "seen", "status", "text"),
        [
            (
                f"case_{seen.row.id}",
                span(seen.age_ms / 1000),
                seen.row.kind,
                _about(seen),
                _at_risk(seen),
                _next(seen),
                seen.row.seen,
                seen.row.status,
                seen.row.text,
            )
            for seen in found
        ],
        empty="There is no case to look at.",
    )


async def _listed(*, app_id: str, status: str, limit: int) -> list[Look]:
    from oncepay.engine.cases import look
    from oncepay.ports import Page

    found: list[Look] = []
    after = ""
    async with opened() as engine:
        if app_id:
            engine.directory.app(app_id)  # raises when there is none: no cases of it would sound like good news
        while len(found) < limit:
            page = Page(limit=min(PAGE, limit - len(found)), after=after)
            rows, after = await engine.ledger.cases(page, app=app_id, status=status)
            found += await look(engine, rows)
            if not after or not rows:
                break
    return found


@cases.command()
@click.argument("case_id", metavar="ID")
@as_json
def show(*, case_id: str, as_json: bool) -> None:
    """One case with all that is known of it: what channels said, what was done, what happens by itself."""

    async def work() -> tuple[Look, dict[str, Any]]:
        async with opened() as engine:
            return await _seen(engine, case_id)

    _print(*run(work()), as_json=as_json)


async def _seen(engine: Engine, case_id: str) -> tuple[Look, dict[str, Any]]:
    from oncepay.domain.errors import CaseAbsent
    from oncepay.engine.cases import look
    from oncepay.http import views

    row = await engine.ledger.case(_bare(case_id))
    if row is None:
        raise CaseAbsent
    (seen,) = await look(engine, [row])
    return seen, {**(await views.case_seen(engine, row)), **_whose(seen)}


# -- doing -------------------------------------------------------------------------------------------------------


_ALWAYS: Final = (
    click.Argument(["case_id"], metavar="ID"),
    click.Option(["--reason", "--note", "reason"], required=True, help="Why, or what was found and done."),
    click.Option(["--actor"], default="", help="Who does it; the user of this machine when left out."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
)
_MINOR: Final = click.Option(
    ["--minor"], type=click.IntRange(min=1), help="How much it was, in minor units, where the case does not say."
)
_SHOWS: Final = (
    click.Option(["--evidence"], default="", help="What shows it: a statement, a transfer, a page of the console."),
    click.Option(["--trade-no"], default="", help="The channel's own number of the money."),
)
_CANCEL: Final = click.Option(
    ["--cancel"], is_flag=True, help="The stronger form: what was paid GOES BACK. Only where the channel can do that."
)
_SAY: Final = "Say what shows it: --evidence, --trade-no, or both."
_VERBS: Final[dict[str, tuple[str, tuple[click.Option, ...]]]] = {
    "query": ("Ask the channel now.", ()),
    "close": ("Close the attempt at the channel now.", (_CANCEL,)),
    "accept": (
        f"The money did arrive: it pays the payment.\n\nAlso when it is not what is owed. {_SAY}",
        (*_SHOWS, _MINOR),
    ),
    "refund": ("The money goes back by the road it came; a failed refund is tried again.", (_MINOR,)),
    "settle": (
        f"It was settled outside, by other means.\n\nA refund that was paid back is done, an attempt is over. {_SAY}",
        (*_SHOWS, _MINOR),
    ),
    "retry": ("Try again now: a refund's next number, a message that could not be taken in.", ()),
    "note": ("Note something: --reason is the note.", ()),
    "resolve": ("Be done with a case: --reason says what was found and done.", ()),
}


def _do(verb: str, /, *, case_id: str, actor: str, as_json: bool, cancel: bool = False, **said: Any) -> None:
    wish = {"verb": "cancel" if cancel else verb, "actor": _actor(actor), **said}
    done, seen = run(_act(case_id, wish))
    if not done:
        click.echo("This was done before; nothing was done now.", err=True)
    if seen is not None:
        _print(*seen, as_json=as_json)
        return
    if done:
        click.echo("It was done. How the case stands now cannot be read: look later (oncepay cases show).", err=True)
    if as_json:
        print_json({"id": f"case_{_bare(case_id)}", "done": done})


for _name, (_help, _options) in _VERBS.items():
    cases.add_command(click.Command(_name, callback=partial(_do, _name), params=[*_ALWAYS, *_options], help=_help))


async def _act(case_id: str, said: dict[str, Any]) -> tuple[bool, tuple[Look, dict[str, Any]] | None]:
    """Whether it was done now, and the case as it is then; None where only that cannot be read any more."""
    import msgspec

    from oncepay.domain.errors import CaseAbsent, Unavailable
    from oncepay.engine.cases import Wish, act

    async with opened() as engine:
        row = await engine.ledger.case(_bare(case_id))
        if row is None:
            raise CaseAbsent
        done = await act(engine, row, msgspec.convert(said, Wish))
        try:
            return done, await _seen(engine, case_id)
        except Unavailable:
            return done, None


def _actor(given: str) -> str:
    """Whoever acts. An app acts by its key and cannot be named here."""
    try:
        actor = given.strip() or getpass.getuser()
    except (KeyError, OSError):
        raise click.UsageError("who does it? say --actor") from None
    if actor.startswith("app:"):
        raise click.BadParameter("app: is for those who hold an app's key", param_hint="--actor")
    return actor


# -- printing ----------------------------------------------------------------------------------------------------


def _print(seen: Look, view: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    row = seen.row
    print_fields(
        [
            ("case", view["id"]),
            ("kind", row.kind),
            ("status", row.status),
            ("opened", when(row.opened_ms)),
            ("age", span(seen.age_ms / 1000)),
            ("seen", row.seen),
            ("about", _about(seen)),
            ("app", row.app or "-"),
            ("at risk", _at_risk(seen)),
            ("text", row.text),
            *(_field(name, value) for name, value in row.data.items() if not isinstance(value, list)),
            ("by itself", seen.by_itself or "-"),
            ("next", _next(seen)),
            ("note", row.note or "-"),
        ]
    )
    _print_story(view["evidence"] or row.data.get("evidence", ()), "said", _SAID)
    _print_story(view["acts"], "done", _DONE)


_SAID: Final = ("road", "fact", "number", "minor", "currency", "trade_no", "words", "wrong")
_DONE: Final = ("verb", "actor", "reason", "evidence", "did")


def _print_story(entries: list[dict[str, Any]], what: str, columns: tuple[str, ...]) -> None:
    if not entries:
        return
    click.echo()
    rows = [(when(entry.get("at_ms")), *(entry.get(column) for column in columns)) for entry in entries]
    print_table((f"{what} (UTC)", *columns), rows, empty="")


def _field(name: str, value: Any) -> tuple[str, Any]:
    return (name.removesuffix("_ms"), when(value)) if name.endswith("_ms") else (name, value)


def _about(seen: Look) -> str:
    return f"pay_{seen.row.payment_id}" if seen.row.payment_id else seen.row.account


def _at_risk(seen: Look) -> str:
    return money(seen.minor, seen.currency) if seen.minor is not None and seen.currency else "-"


def _next(seen: Look) -> str:
    if seen.ahead is not None:
        return f"{seen.ahead['what']} in {span(seen.ahead['in_s'])}: {seen.ahead['why']}"
    if seen.row.due_ms:
        return f"at {when(seen.row.due_ms)}"
    return "-"


def _bare(case_id: str) -> str:
    return case_id.removeprefix("case_")


def _shown(seen: Look) -> dict[str, Any]:
    from oncepay.http import views

    return {**views.case(seen), **_whose(seen)}


def _whose(seen: Look) -> dict[str, Any]:
    """What only an operator sees."""
    return {"app": seen.row.app or None, "account": seen.row.account or None}

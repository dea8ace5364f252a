"""``oncepay cases``: what a person must look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from oncepay.cli.common import as_json, opened, run
from oncepay.cli.output import plain, print_fields, print_json, print_table, when

if TYPE_CHECKING:
    from oncepay.ports import CaseRow

PAGE: Final = 100


@click.group()
def cases() -> None:
    """What a person must look at."""


@cases.command("list")
@click.option("--all", "all_", is_flag=True, help="Resolved ones too.")
@click.option("--app", "app_id", default="", help="Only this application's.")
@click.option("--limit", default=PAGE, show_default=True, type=click.IntRange(1, 10_000))
@as_json
def list_(*, all_: bool, app_id: str, limit: int, as_json: bool) -> None:
    """Cases, oldest first."""
    found = run(_listed(app_id=app_id, status="" if all_ else "open", limit=limit))
    if as_json:
        print_json([_shown(case) for case in found])
        return
    print_table(
        ("case", "opened", "kind", "about", "seen", "status", "text"),
        [
            (
                f"case_{case.id}",
                when(case.opened_ms),
                case.kind,
                f"pay_{case.payment_id}" if case.payment_id else case.account,
                case.seen,
                case.status,
                case.text,
            )
            for case in found
        ],
        empty="There is no case to look at.",
    )


async def _listed(*, app_id: str, status: str, limit: int) -> list[CaseRow]:
    from oncepay.ports import Page

    found: list[CaseRow] = []
    after = ""
    async with opened() as engine:
        while len(found) < limit:
            page = Page(limit=min(PAGE, limit - len(found)), after=after)
            rows, after = await engine.ledger.cases(page, app=app_id, status=status)
            found += rows
            if not after or not rows:
                break
    return found


@cases.command()
@click.argument("case_id", metavar="ID")
@as_json
def show(*, case_id: str, as_json: bool) -> None:
    """One case with all that is known of it."""

    async def work() -> CaseRow:
        from oncepay.domain.errors import CaseAbsent

        async with opened() as engine:
            row = await engine.ledger.case(_bare(case_id))
            if row is None:
                raise CaseAbsent
            return row

    _print(run(work()), as_json=as_json)


@cases.command()
@click.argument("case_id", metavar="ID")
@click.option("--note", required=True, help="What was done.")
@as_json
def resolve(*, case_id: str, note: str, as_json: bool) -> None:
    """Close a case with a note."""

    async def work() -> CaseRow:
        from oncepay.engine import cases as verbs

        async with opened() as engine:
            return await verbs.resolve(engine, _bare(case_id), note)

    _print(run(work()), as_json=as_json)


def _print(case: CaseRow, *, as_json: bool) -> None:
    if as_json:
        print_json(_shown(case))
        return
    print_fields(
        [
            ("case", f"case_{case.id}"),
            ("kind", case.kind),
            ("status", case.status),
            ("opened", when(case.opened_ms)),
            ("due", when(case.due_ms)),
            ("seen", case.seen),
            ("payment", f"pay_{case.payment_id}" if case.payment_id else "-"),
            ("account", case.account or "-"),
            ("app", case.app or "-"),
            ("text", case.text),
            *((name, value) for name, value in case.data.items()),
            ("note", case.note or "-"),
        ]
    )


def _bare(case_id: str) -> str:
    return case_id.removeprefix("case_")


def _shown(case: CaseRow) -> dict[str, Any]:
    row: dict[str, Any] = plain(case)
    row["id"] = f"case_{case.id}"
    row["payment_id"] = f"pay_{case.payment_id}" if case.payment_id else None
    return row

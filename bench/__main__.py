"""``make bench``: the whole path on both databases, beside the floor, in one table and one last line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from bench import due, floor, roads
from bench.load import ATTEMPTS, Driver, Run, Shop
from bench.places import Town, settle
from tests.servers import PostgresServer

RUNS = (
    Run("saturation", payments=8_000),
    Run("paced_100", payments=1_500, rate=100),
    Run("paced_500", payments=7_500, rate=500),
    Run("paced_100_abandoned", payments=1_500, rate=100, abandoned=0.4, linger_s=32),
    Run("alipay", payments=6_000, channel="alipay"),
    Run("unionpay", payments=6_000, channel="unionpay"),
)


WARMED = {"saturation", "alipay", "unionpay"}  # each channel's first


async def town_figures(database: str, *, quick: bool) -> dict[str, Any]:
    """All runs on one database."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop()
        await shop.open()
        town = Town(Path(folder), database, shop.port)
        await town.build()
        try:
            driver = Driver(town, shop)
            for run in [run for run in RUNS if not quick or not run.rate]:
                if run.name in WARMED:
                    await driver.play(Run(f"warm-up-{run.channel}", payments=300, channel=run.channel))
                await settle(1.0)
                figures[run.name] = await driver.play(run)
                print(f"{database:9} {run.name:20} {figures[run.name]}", flush=True)
        finally:
            town.tear_down()
    return figures


async def floor_figures() -> dict[str, Any]:
    """Milliseconds a payment, by part."""
    crypto = {channel: floor.crypto_ms(channel) for channel in ATTEMPTS}
    http_in, http_out = await floor.http_ms()
    http = 2 * http_in + 2 * http_out
    with tempfile.TemporaryDirectory() as folder:
        sqlite = floor.sqlite_ms(Path(folder))
    with PostgresServer() as server:
        postgres = await floor.postgres_ms(server)
    found = {"http": http, "rows_sqlite": sqlite, "rows_postgres": postgres}
    for channel, signed in crypto.items():
        found |= {f"crypto_{channel}": signed}
        found |= {f"{channel}_sqlite": signed + http + sqlite, f"{channel}_postgres": signed + http + postgres}
    return {name: round(value, 3) for name, value in found.items()}


def floor_of(figures: dict[str, Any], database: str, run: str) -> float:
    """The floor of a run's channel on a database, ms."""
    channel = next(r.channel for r in RUNS if r.name == run)
    value: float = figures["floor"][f"{channel}_{database}"]
    return value


async def due_figures(rows: int) -> dict[str, Any]:
    """Claims on both databases."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite = await due.measure(f"sqlite:///{folder}/due.db", None, rows)
    with PostgresServer() as server:
        postgres = await due.measure(server.url, server, rows)
    return {"sqlite": sqlite, "postgres": postgres}


def table(figures: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'':30} {'pay/s':>8} {'cpu ms':>8} {'ratio':>6} {'create p50/p99':>16} {'told p50/p99':>16} {'MB':>6}"]
    for database in ("sqlite", "postgres"):
        for name, row in figures.get(database, {}).items():
            ratio = row["cpu_ms_per_payment"] / floor_of(figures, database, name)
            lines.append(
                f"{database + ' ' + name:30} {row['payments_per_s']:8.0f} {row['cpu_ms_per_payment']:8.3f} {ratio:6.2f}"
                f" {row['create_p50_ms']:7.1f}/{row['create_p99_ms']:<8.1f}"
                f" {row['told_p50_ms']:7.1f}/{row['told_p99_ms']:<8.1f}"
                f" {row['rss_mb']:6.0f}"
            )
    lines += [f"floor {json.dumps(figures['floor'])}", f"due {json.dumps(figures.get('due', {}))}"]
    lines += [f"events to {name:9} {json.dumps(row)}" for name, row in figures.get("roads", {}).items()]
    return "\n".join(lines)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="saturation of each channel and floor only")
    parser.add_argument("--database", choices=("sqlite", "postgres"), help="only this one")
    parser.add_argument("--due-rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"floor": await floor_figures()}
    for database in [arguments.database] if arguments.database else ["sqlite", "postgres"]:
        figures[database] = await town_figures(database, quick=arguments.quick)
        for name, row in figures[database].items():
            row["ratio"] = round(row["cpu_ms_per_payment"] / floor_of(figures, database, name), 2)
    if not arguments.quick:
        figures["due"] = await due_figures(arguments.due_rows)
        figures["roads"] = await roads.measure()
    print(table(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())

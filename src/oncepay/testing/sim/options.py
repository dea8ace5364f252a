"""What kind of world a seed stands for: its people, its processes, its faults. Drawn so that each world has few kinds
of faults and many of them: a soup of all never lets one go far."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import msgspec

from oncepay.sandbox.faults import MENU

ORDERS: Final = 10

# Of the sandbox's menu: all that a centre must live with by itself. Not: bills (read by another road), new keys at any
# call (``rotations`` are planned), and a refund whose card is gone, which only a person ends: drawn apart.
PERSONS: Final = "refund_abnormal"
NOT_HERE: Final = frozenset({"cert_rotate", PERSONS})
CHANNEL_FAULTS: Final = tuple(name for name in MENU if not name.startswith("bill_") and name not in NOT_HERE)
HIDING: Final = frozenset({"notify_none", "notify_wrong_amount", "notify_xml"})  # all tries of a notification
SHORT: Final[dict[str, dict[str, Any]]] = {"slow_drip": {"seconds": 0.05}}
ROADS: Final = ("call", "notify", "api", "hook")
QUEUE_ROAD: Final = "queue"  # where there is a broker
ROAD_FAULTS: Final = ("refused", "lost", "lost after", "slow", "twice")
AT_ONCE: Final = "twice at once"  # of notifications: both copies arrive at the same moment
RATES: Final = (0.03, 0.1, 0.2, 0.3)


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``orders``: which of the seed's orders are placed. ``faults``: rate by the sandbox's name. ``roads``: rate by
    "road fault". ``crash``: chance at each numbered point. ``crash_at``: these points, come what may. ``stop``: chance
    that a process is stopped for a while (SIGSTOP) at a point. ``still``: that it is stopped between the intent of a
    refund's call and that call, for longer than "no such refund" takes to count. ``unknown``: of a commit whose outcome
    is not told. ``away``: times that the store does not answer. ``skew_s``: how wrong clocks are. ``shop``: how often
    the shop fails to take a webhook; ``shut``: times that it is shut. ``rotations``: times that a vendor has a new
    certificate. ``queue``: the app hears by a queue too, and its consumers die as often as it fails to take a webhook;
    ``broken``: times that the broker is down. ``late``, ``unclosable``: the app's policies. ``patience_s``: how long
    peace lasts at least. ``meddlers``: share of orders that somebody else meddles with at the same time. ``real``: RSA,
    and a file for a database, instead of quick stand-ins."""

    orders: tuple[int, ...] = tuple(range(ORDERS))
    processes: int = 2
    faults: dict[str, float] = {}
    roads: dict[str, float] = {}
    crash: float = 0.0
    crash_at: tuple[int, ...] = ()
    stop: float = 0.0
    still: float = 0.0
    unknown: float = 0.0
    away: int = 0
    skew_s: float = 0.0
    shop: float = 0.0
    shut: int = 0
    late: str = "refund"
    unclosable: str = "switch"
    patience_s: float = 0.0
    meddlers: float = 0.0
    rotations: int = 0
    queue: bool = False
    broken: int = 0
    real: bool = False


def draw(seed: int) -> Options:
    """The world of a seed."""
    dice = Random(f"{seed}:options")

    def some(names: tuple[str, ...], share: float) -> dict[str, float]:
        return {name: dice.choice(RATES) for name in names if dice.random() < share}

    share = dice.choice((0.0, 0.03, 0.05, 0.1, 0.2))
    roads = tuple(f"{road} {fault}" for road in ROADS for fault in ROAD_FAULTS)
    faults = some(CHANNEL_FAULTS, share)
    if dice.random() < 0.1:
        faults = {"notify_none": 1.0, **faults}  # a day without any notification: asking alone must do
    if dice.random() < 0.08:
        faults = {**faults, "refund_closed": 1.0}
    if dice.random() < 0.15:  # whoever comes too late can pay all the same
        faults = {**faults, "pay_after_close": 1.0, "late_bank": 1.0}
    later = Random(f"{seed}:later options")  # dice of their own: what a seed was before these came, it still is
    if later.random() < 0.15:
        faults = {**faults, PERSONS: later.choice((0.3, 1.0))}
    rotations = later.choice((1, 2, 4)) if later.random() < 0.15 else 0
    queue = later.random() < 0.25
    queue_roads = {f"{QUEUE_ROAD} {fault}": later.choice(RATES) for fault in ROAD_FAULTS if later.random() < 0.4}
    broken = later.choice((0, 1, 3))
    at_once = {f"notify {AT_ONCE}": later.choice((0.3, 1.0))} if later.random() < 0.15 else {}
    still = later.choice((0.2, 1.0)) if later.random() < 0.1 else 0.0
    if "pay_after_close" in faults:  # a channel that takes money for what it closed, and hides it: only a bill tells
        faults = {name: rate for name, rate in faults.items() if name not in HIDING}
    return Options(
        processes=dice.choice((1, 2, 2, 2)),
        faults=faults,
        roads={**some(roads, dice.choice((0.0, 0.1, 0.2, 0.3))), **(queue_roads if queue else {}), **at_once},
        crash=dice.choice((0.0, 0.002, 0.005, 0.02)),
        stop=dice.choice((0.0, 0.0, 0.002)),
        still=still,
        unknown=dice.choice((0.0, 0.0, 0.02, 0.1)),
        away=dice.choice((0, 0, 1, 3)),
        skew_s=dice.choice((*(0.0,) * 6, *(2.0,) * 4, *(60.0,) * 5, 86_400.0)),
        shop=dice.choice((0.0, 0.1, 0.4)),
        shut=dice.choice((0, 0, 1)),
        late=dice.choice(("refund", "accept")),
        unclosable=dice.choice(("switch", "switch", "wait")),
        patience_s=dice.choice((0.0, 0.0, 0.0, 9 * 86_400.0)),
        real=dice.random() < 0.02,
        meddlers=dice.choice((0.0, 0.0, 0.3, 0.8)),
        rotations=rotations,
        queue=queue,
        broken=broken if queue else 0,
    )


def rates_of(options: Options) -> dict[str, Any]:
    """The sandbox's faults, as it wants to be told."""
    return {"rates": {name: {"rate": rate, **SHORT.get(name, {})} for name, rate in options.faults.items()}}

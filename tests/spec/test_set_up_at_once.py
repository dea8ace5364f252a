"""Two changes of one app or one endpoint at the same moment: neither is lost, and what was removed stays removed. The
second is made whole between the moment at which the first has read and the one at which it writes. And changes whose
answer is lost: they are not made twice, and who made them is not told to make them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from oncepay.domain.errors import CommitUnknown, Conflict, EndpointAbsent, KeyReused, Unavailable
from oncepay.engine import admin
from oncepay.ports import App, Endpoint, Page
from tests.spec.centre import Town
from tests.spec.test_stories import paid

Meanwhile = Callable[[], Awaitable[object]]
Write = Callable[..., Awaitable[Any]]


class Between:
    """Lets something happen just before the next write of a kind, or before each of them."""

    def __init__(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ledger = town.engine.ledger
        self._patch = monkeypatch

    def once(self, write: str, meanwhile: Meanwhile) -> None:
        """Before the next one; those that ``meanwhile`` makes are made as always."""
        self._before(write, meanwhile, times=1)

    def each(self, write: str, meanwhile: Meanwhile) -> None:
        """Before every one, but those that ``meanwhile`` makes."""
        self._before(write, meanwhile, times=1_000)

    def loses(
        self, write: str, *, written: bool, away: str = "", times: int = 1, before: Meanwhile | None = None
    ) -> None:
        """The answer to the next one, which was written or was not. ``away``: what cannot be asked any more then.
        ``before``: what is done just before by another."""

        async def not_told(real: Write, given: tuple[Any, ...]) -> Any:
            if before is not None:
                await before()
            if written:
                await real(*given)
            if away:
                self.away(away)
            raise CommitUnknown("the connection was lost")

        self._instead(write, not_told, times)

    def away(self, read: str) -> None:
        """From now on the store does not answer this."""

        async def unavailable(*_: Any) -> Any:
            raise Unavailable("the database does not answer")

        self._patch.setattr(self._ledger, read, unavailable)

    def _before(self, write: str, meanwhile: Meanwhile, times: int) -> None:
        async def later(real: Write, given: tuple[Any, ...]) -> Any:
            await meanwhile()
            return await real(*given)

        self._instead(write, later, times)

    def _instead(self, write: str, other: Callable[[Write, tuple[Any, ...]], Awaitable[Any]], times: int) -> None:
        real, left, inside = getattr(self._ledger, write), times, False

        async def written(*given: Any) -> Any:
            nonlocal left, inside
            if inside or not left:
                return await real(*given)
            left, inside = left - 1, True
            try:
                return await other(real, given)
            finally:
                inside = False

        self._patch.setattr(self._ledger, write, written)


@pytest.fixture
def between(town: Town, monkeypatch: pytest.MonkeyPatch) -> Between:
    return Between(town, monkeypatch)


def hook(town: Town) -> Endpoint:
    """The shop's endpoint, its secrets opened."""
    (endpoint,) = town.engine.directory.endpoints_of("shop")
    return endpoint


async def signs_with(town: Town) -> tuple[str, ...]:
    """The secrets that the store holds for it."""
    await town.engine.directory.refresh(force=True)
    return hook(town).secrets


async def shop(town: Town) -> App:
    """The app as it is stored."""
    (stored,) = await town.engine.ledger.apps()
    return stored


class TestAnEndpoint:
    async def test_two_rotations_both_leave_their_secret(self, town: Town, between: Between) -> None:
        """Each of the two was shown to somebody who will look for it in the signatures."""
        engine, endpoint_id = town.engine, hook(town).id
        faster: list[str] = []

        async def rotate() -> None:
            faster.append(await admin.rotate_secret(engine, town.app, endpoint_id))

        between.once("save_endpoint", rotate)
        slower = await admin.rotate_secret(engine, town.app, endpoint_id)
        assert await signs_with(town) == (slower, *faster)

    async def test_our_disabling_does_not_undo_a_rotation(self, town: Town, between: Between) -> None:
        shown: list[str] = []

        async def rotate() -> None:
            shown.append(await admin.rotate_secret(town.engine, town.app, hook(town).id))

        between.once("save_endpoint", rotate)
        town.shop.status = 410
        await paid(town, "S-1")
        assert await signs_with(town) == (*shown, town.shop.secret)
        assert hook(town).disabled == "410 Gone"

    async def test_a_rotation_does_not_undo_our_disabling(self, town: Town, between: Between) -> None:
        async def gone() -> None:
            town.shop.status = 410
            await paid(town, "S-2")

        between.once("save_endpoint", gone)
        shown = await admin.rotate_secret(town.engine, town.app, hook(town).id)
        assert await signs_with(town) == (shown, town.shop.secret)
        assert hook(town).disabled == "410 Gone"

    async def test_enabling_does_not_undo_another_login(self, town: Town, between: Between) -> None:
        url = "rediss://shop:{}@127.0.0.1:6379/?stream=paid"
        made, _ = await admin.add_endpoint(town.engine, town.app, url.format("old"))
        between.once("save_endpoint", lambda: admin.change_login(town.engine, town.app, made.id, url.format("another")))
        await admin.enable_endpoint(town.engine, town.app, made.id)
        await town.engine.directory.refresh(force=True)
        known = town.engine.directory.endpoint(made.id)
        assert known is not None
        assert known.login == "shop:another"

    @pytest.mark.parametrize("change", [admin.rotate_secret, admin.enable_endpoint])
    async def test_a_change_does_not_bring_back_what_was_removed(
        self, town: Town, between: Between, change: Callable[..., Awaitable[object]]
    ) -> None:
        endpoint_id = hook(town).id
        between.once("save_endpoint", lambda: admin.remove_endpoint(town.engine, town.app, endpoint_id))
        with pytest.raises(EndpointAbsent):
            await change(town.engine, town.app, endpoint_id)
        assert await town.engine.ledger.endpoints() == []

    async def test_our_disabling_does_not_bring_back_what_was_removed(self, town: Town, between: Between) -> None:
        endpoint_id = hook(town).id
        between.once("save_endpoint", lambda: admin.remove_endpoint(town.engine, town.app, endpoint_id))
        town.shop.status = 410
        await paid(town, "S-3")
        assert await town.engine.ledger.endpoints() == []
        assert town.engine.directory.endpoints_of("shop") == ()

    async def test_who_disabled_it_first_has_said_why(self, town: Town, between: Between) -> None:
        """Another process heard the same answer; what it wrote stands, and the delivery is parked all the same."""

        async def by_another_process() -> None:
            (stored,) = await town.engine.ledger.endpoints()
            assert await town.engine.ledger.save_endpoint(msgspec.structs.replace(stored, disabled="first"), stored)

        between.once("save_endpoint", by_another_process)
        town.shop.status = 410
        await paid(town, "S-4")
        assert hook(town).disabled == "first"
        rows, _ = await town.engine.ledger.deliveries("shop", Page(limit=10), status="parked")
        assert [row.last for row in rows] == ["410 Gone"]

    async def test_who_is_always_overtaken_is_told_so(self, town: Town, between: Between) -> None:
        endpoint_id, toggled = hook(town).id, 0

        async def another() -> None:
            nonlocal toggled
            toggled += 1
            (stored,) = await town.engine.ledger.endpoints()
            changed = msgspec.structs.replace(stored, disabled=f"for the {toggled}. time")
            assert await town.engine.ledger.save_endpoint(changed, stored)

        between.each("save_endpoint", another)
        with pytest.raises(Conflict, match="changed by others"):
            await admin.rotate_secret(town.engine, town.app, endpoint_id)
        assert toggled > 1
        assert await signs_with(town) == (town.shop.secret,)

    @pytest.mark.parametrize("written", [True, False])
    async def test_a_rotation_whose_answer_is_lost_is_made_once(
        self, town: Town, between: Between, *, written: bool
    ) -> None:
        """A second rotation would take away the secret that everybody has."""
        between.loses("save_endpoint", written=written)
        shown = await admin.rotate_secret(town.engine, town.app, hook(town).id)
        assert await signs_with(town) == (shown, town.shop.secret)

    async def test_what_nobody_can_say_is_not_said_to_have_failed(self, town: Town, between: Between) -> None:
        between.loses("save_endpoint", written=True, away="endpoints")
        with pytest.raises(CommitUnknown):
            await admin.rotate_secret(town.engine, town.app, hook(town).id)

    async def test_what_is_written_stands_where_it_cannot_be_read_back(
        self, town: Town, between: Between, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            Between(town, patched).away("directory_stamp")
            shown = await admin.rotate_secret(town.engine, town.app, hook(town).id)
            assert hook(town).secrets == (town.shop.secret,)
        await town.engine.directory.refresh()
        assert hook(town).secrets == (shown, town.shop.secret)

    async def test_an_app_has_one_of_a_url(self, town: Town, between: Between) -> None:
        """Two shops that start at once both add it; each would refuse what is signed for the other."""
        made: list[Endpoint] = []

        async def add() -> None:
            made.append((await admin.add_endpoint(town.engine, town.app, "https://example.com/hook"))[0])

        between.once("save_endpoint", add)
        with pytest.raises(KeyReused) as refused:
            await admin.add_endpoint(town.engine, town.app, "https://example.com/hook")
        assert refused.value.fields["endpoint"] == made[0].id
        assert {e.url for e in await town.engine.ledger.endpoints()} == {town.shop.url, "https://example.com/hook"}
        assert len(await town.engine.ledger.endpoints()) == 2

    @pytest.mark.parametrize("written", [True, False])
    async def test_one_whose_answer_is_lost_is_added_once(self, town: Town, between: Between, *, written: bool) -> None:
        """Its secret would be lost with the answer, and a repeat would be told that there is one of this url."""
        between.loses("save_endpoint", written=written)
        made, secret = await admin.add_endpoint(town.engine, town.app, "https://example.com/hook")
        await town.engine.directory.refresh(force=True)
        known = town.engine.directory.endpoint(made.id)
        assert known is not None
        assert known.secrets == (secret,)
        assert len(await town.engine.ledger.endpoints()) == 2

    async def test_one_that_nobody_can_say_was_added_is_not_said_to_have_failed(
        self, town: Town, between: Between
    ) -> None:
        between.loses("save_endpoint", written=True, away="endpoints")
        with pytest.raises(CommitUnknown):
            await admin.add_endpoint(town.engine, town.app, "https://example.com/hook")

    async def test_one_that_is_lost_for_ever_is_given_up(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        between = Between(town, monkeypatch)
        between.loses("save_endpoint", written=False, times=1_000)
        with pytest.raises(CommitUnknown):
            await admin.add_endpoint(town.engine, town.app, "https://example.com/hook")

    async def test_a_new_one_takes_no_others_place(self, town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
        before = await town.engine.ledger.endpoints()
        monkeypatch.setattr(town.engine.dice, "token", lambda: before[0].id * 2)
        with pytest.raises(Conflict):
            await admin.add_endpoint(town.engine, town.app, "https://example.com/hook")
        assert await town.engine.ledger.endpoints() == before


class TestAnApp:
    async def test_is_created_once(self, town: Town, between: Between) -> None:
        """The key that the first one was shown goes on working."""
        made: list[tuple[App, str]] = []

        async def create() -> None:
            made.append(await admin.create_app(town.engine, "other", "First"))

        between.once("save_app", create)
        with pytest.raises(Conflict, match="already"):
            await admin.create_app(town.engine, "other", "Second")
        ((_, key),) = made
        known = town.engine.directory.app_of_key(key)
        assert known is not None
        assert (known[0].id, known[0].name) == ("other", "First")

    @pytest.mark.parametrize("written", [True, False])
    async def test_one_whose_answer_is_lost_is_created_once(
        self, town: Town, between: Between, *, written: bool
    ) -> None:
        """Its first key would be lost with the answer."""
        between.loses("save_app", written=written)
        made, key = await admin.create_app(town.engine, "other", "")
        known = town.engine.directory.app_of_key(key)
        assert known is not None
        assert known[0].id == made.id == "other"

    async def test_one_that_nobody_can_say_was_created_is_not_said_to_have_failed(
        self, town: Town, between: Between
    ) -> None:
        between.loses("save_app", written=True, away="apps")
        with pytest.raises(CommitUnknown):
            await admin.create_app(town.engine, "other", "")

    async def test_whose_answer_is_lost_has_not_made_what_another_made(self, town: Town, between: Between) -> None:
        """Ours was not written, and another process made one of that id meanwhile: its key is not ours to show."""
        between.loses("save_app", written=False, before=lambda: admin.create_app(town.engine, "other", "Theirs"))
        with pytest.raises(Conflict, match="already"):
            await admin.create_app(town.engine, "other", "Ours")

    async def test_two_new_keys_both_work(self, town: Town, between: Between) -> None:
        town.sandbox.advance(60)  # the app's first key is the oldest
        faster: list[str] = []

        async def rotate() -> None:
            faster.append(await admin.rotate_key(town.engine, town.app))

        between.once("save_app", rotate)
        slower = await admin.rotate_key(town.engine, town.app)
        assert {key.hint for key in (await shop(town)).keys} == {key[-4:] for key in (slower, *faster)}

    async def test_a_revoked_key_does_not_come_back_with_another_change(self, town: Town, between: Between) -> None:
        town.sandbox.advance(60)
        await admin.rotate_key(town.engine, town.app)
        between.once("save_app", lambda: admin.revoke_key(town.engine, town.app, town.key[-4:]))
        await admin.set_policies(town.engine, town.app, late="accept")
        stored = await shop(town)
        assert stored.late == "accept"
        assert town.key[-4:] not in {key.hint for key in stored.keys}
        assert town.engine.directory.app_of_key(town.key) is None

    async def test_a_key_is_revoked_by_both_who_ask_for_it(self, town: Town, between: Between) -> None:
        between.once("save_app", lambda: admin.revoke_key(town.engine, town.app, town.key[-4:]))
        assert (await admin.revoke_key(town.engine, town.app, town.key[-4:])).keys == ()
        assert (await shop(town)).keys == ()

    @pytest.mark.parametrize("written", [True, False])
    async def test_a_new_key_whose_answer_is_lost_is_made_once(
        self, town: Town, between: Between, *, written: bool
    ) -> None:
        between.loses("save_app", written=written)
        town.sandbox.advance(60)
        key = await admin.rotate_key(town.engine, town.app)
        assert {known.hint for known in (await shop(town)).keys} == {key[-4:], town.key[-4:]}

    async def test_two_policies_are_both_set(self, town: Town, between: Between) -> None:
        between.once("save_app", lambda: admin.set_policies(town.engine, town.app, unclosable="wait"))
        told = await admin.set_policies(town.engine, town.app, late="accept")
        assert (told.late, told.unclosable) == ("accept", "wait")
        assert (await shop(town)).unclosable == "wait"

    async def test_what_happens_to_others_is_no_reason_to_fail(self, town: Town, between: Between) -> None:
        """A key is used, and an endpoint disabled, all the time."""
        used_ms = town.now_ms

        async def others() -> None:
            nonlocal used_ms
            used_ms += 60_000
            await town.engine.ledger.used_key((await shop(town)).keys[0].hash, used_ms)
            await admin.enable_endpoint(town.engine, town.app, hook(town).id)

        between.each("save_app", others)
        await admin.set_policies(town.engine, town.app, late="accept")
        stored = await shop(town)
        assert (stored.late, stored.keys[0].used_ms) == ("accept", used_ms)

    async def test_who_is_always_overtaken_is_told_so(self, town: Town, between: Between) -> None:
        names = iter(range(100))

        async def another() -> None:
            stored = await shop(town)
            changed = msgspec.structs.replace(stored, name=f"name {next(names)}")
            assert await town.engine.ledger.save_app(changed, stored)

        between.each("save_app", another)
        with pytest.raises(Conflict, match="changed by others"):
            await admin.set_policies(town.engine, town.app, late="accept")
        assert (await shop(town)).late == "refund"

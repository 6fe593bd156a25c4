"""Our table in the kernel: loaded once, again when touched, looked at only when there is reason."""

from __future__ import annotations

import pytest

from kubespan.linux import nft
from kubespan.linux.nftables import Ruleset, ruleset, stand_in
from kubespan.linux.table import LOAD, REMOVE, TALOS, Table
from kubespan.model.errors import ConfigError
from tests.linux.plans import PLAN, plan
from tests.linux.steered import run_in
from tests.netns.namespace import Namespace
from tests.peers import need

pytestmark = pytest.mark.netns


@pytest.fixture(autouse=True)
def nft_is_there() -> None:
    need("nft")


def test_what_is_the_same_is_left_alone(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        table = Table()
        assert (await table.bring(PLAN)).done == (LOAD,)
        loaded = namespace.run("nft", "-a", "list", "ruleset")
        with monkeypatch.context() as patch:
            patch.setenv("PATH", "")
            patch.setattr(nft, "SYSTEM_FOLDERS", ())
            assert (await table.bring(PLAN)).done == ()  # without nft, so nothing was asked
        table.doubt()
        assert (await table.bring(PLAN)).done == ()
        assert namespace.run("nft", "-a", "list", "ruleset") == loaded
        assert (await table.bring(plan("10.0.0.0/8"))).done == (LOAD,)
        assert "10.0.0.0/8" in namespace.run("nft", "list", "ruleset")

    run_in(namespace, main)


@pytest.mark.parametrize(
    "change",
    [
        "flush ruleset",
        "delete table inet kubespan",
        "flush chain inet kubespan kubespan_outgoing",
        "add rule inet kubespan kubespan_prerouting drop",
        "delete element inet kubespan steered4 { 10.0.9.9 }",
        "add element inet kubespan steered6 { 2001:db8:9::/64 }",
    ],
)
def test_what_others_change_is_put_right(namespace: Namespace, change: str) -> None:
    async def main() -> None:
        table = Table()
        await table.bring(PLAN)
        loaded = namespace.run("nft", "list", "ruleset")
        namespace.nft(change)
        table.doubt()
        assert (await table.bring(PLAN)).done == (LOAD,)
        assert namespace.run("nft", "list", "ruleset") == loaded

    run_in(namespace, main)


def test_a_change_between_loading_and_looking_is_not_missed(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = nft.load

    async def load_and_be_touched(commands: Ruleset) -> None:
        await load(commands)
        if commands == ruleset(PLAN):
            namespace.nft("flush chain inet kubespan kubespan_outgoing")

    async def main() -> None:
        table = Table()
        with monkeypatch.context() as patch:
            patch.setattr(nft, "load", load_and_be_touched)
            await table.bring(PLAN)
        table.doubt()
        assert (await table.bring(PLAN)).done == (LOAD,)
        assert "tcp option maxseg" in namespace.run("nft", "list", "ruleset")

    run_in(namespace, main)


def test_removal_leaves_other_tables(namespace: Namespace) -> None:
    async def main() -> None:
        namespace.nft("table ip other {}")
        table = Table()
        await table.bring(PLAN)
        assert (await table.remove()).done == (REMOVE,)
        assert (await table.remove()).done == ()
        assert namespace.run("nft", "list", "ruleset").split() == ["table", "ip", "other", "{", "}"]
        assert (await table.bring(PLAN)).done == (LOAD,)

    run_in(namespace, main)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_stand_in_that_was_left_goes(namespace: Namespace, is_removed: bool) -> None:
    async def main() -> None:
        await nft.load(stand_in(PLAN))
        table = Table()
        report = await (table.remove() if is_removed else table.bring(PLAN))
        assert report.failures == ()
        assert "kubespan_next" not in namespace.run("nft", "list", "tables")

    run_in(namespace, main)


def test_something_marks_at_every_moment(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, whole = nft.load, []

    async def load_and_look(commands: Ruleset) -> None:
        kept = [name for name in ("kubespan", "kubespan_next") if _marks(namespace, name)]
        await load(commands)
        # One that was there before is untouched while another is made, replaced or removed.
        touched = {
            t["table"]["name"] for c in commands["nftables"] for t in c.values() if "table" in t
        }
        whole.append(bool(set(kept) - touched))

    async def main() -> None:
        table = Table()
        await table.bring(PLAN)
        monkeypatch.setattr(nft, "load", load_and_look)
        await table.bring(plan("10.0.2.0/24"))
        assert whole == [True] * 3

    run_in(namespace, main)


def _marks(namespace: Namespace, table: str) -> bool:
    tables = namespace.run("nft", "list", "tables").split()
    return table in tables and "mark set" in namespace.run("nft", "list", "table", "inet", table)


def test_it_is_told_as_soon_as_packets_are_marked(namespace: Namespace) -> None:
    marking: list[str] = []

    def look() -> None:
        listed = namespace.run("nft", "list", "ruleset")
        marking.extend(name for name in ("10.0.2.0", "10.0.3.0") if name in listed)

    async def main() -> None:
        table = Table()
        await table.bring(plan("10.0.2.0/24"), look)
        assert marking == ["10.0.2.0"]
        # The old one is there until after that.
        await table.bring(plan("10.0.3.0/24"), look)
        assert marking == ["10.0.2.0", "10.0.2.0", "10.0.3.0"]
        await table.bring(plan("10.0.3.0/24"), look)
        assert len(marking) == 3

    run_in(namespace, main)


def test_talos_is_noticed(namespace: Namespace) -> None:
    async def main() -> None:
        namespace.nft("table inet talos {}")
        table = Table()
        assert (await table.bring(PLAN)).findings == (TALOS,)
        assert (await table.bring(PLAN)).findings == (TALOS,)

    run_in(namespace, main)


def test_what_fails_is_said_and_tried_again(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        table = Table()
        with monkeypatch.context() as patch:
            patch.setenv("PATH", "")
            patch.setattr(nft, "SYSTEM_FOLDERS", ())
            for report, operation in (
                (await table.bring(PLAN), LOAD),
                (await table.remove(), REMOVE),
            ):
                (failure,) = report.failures
                assert failure.operation == operation
                assert "install nftables" in failure.text
        assert (await table.bring(PLAN)).done == (LOAD,)

    run_in(namespace, main)


def test_half_a_replacement_is_not_taken_for_what_was_before(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = nft.load

    async def load_the_stand_in_alone(commands: Ruleset) -> None:
        if commands != stand_in(plan("10.0.0.0/8")):
            raise nft.NftFault("nft", "Error: Cannot allocate memory")
        await load(commands)

    async def main() -> None:
        table = Table()
        await table.bring(PLAN)
        with monkeypatch.context() as patch:
            patch.setattr(nft, "load", load_the_stand_in_alone)
            assert (await table.bring(plan("10.0.0.0/8"))).failures
        assert (await table.bring(PLAN)).done == (LOAD,)
        assert "kubespan_next" not in namespace.run("nft", "list", "tables")

    run_in(namespace, main)


def test_a_look_that_fails_leaves_the_doubt(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(table: dict[str, str]) -> Ruleset:
        raise nft.NftFault("nft list", "Error: Operation not permitted")

    async def missing(table: dict[str, str]) -> Ruleset:
        raise ConfigError("there is no nft")

    async def main() -> None:
        table = Table()
        await table.bring(PLAN)
        namespace.nft("flush ruleset")
        table.doubt()
        for answer in (refuse, missing):
            with monkeypatch.context() as patch:
                patch.setattr(nft, "list_table", answer)
                assert (await table.bring(PLAN)).failures
        assert (await table.bring(PLAN)).done == (LOAD,)

    run_in(namespace, main)

"""Changes become durable together, in order, and an acknowledgement waits for its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from typing import cast

import pytest
import pytest_asyncio

from kubespan.discovery.server.groupcommit import GroupCommit
from kubespan.discovery.server.journal import Journal, Saved
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.storage import Key, Storage

pytestmark = pytest.mark.asyncio

PATIENCE = 30.0


class Disk:
    """A storage that saves when it is told to, and fails when it is told to."""

    def __init__(self) -> None:
        self.batches: list[dict[Key, Saved | None]] = []
        self.failures: list[Exception] = []
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)
        self.threads: set[str] = set()
        self.is_closed = False

    def save(self, changes: Mapping[Key, Saved | None]) -> None:
        self.threads.add(threading.current_thread().name)
        self.begun.release()
        assert self.free.wait(PATIENCE)
        if self.failures:
            raise self.failures.pop()
        self.batches.append(dict(changes))

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest_asyncio.fixture
async def commits(disk: Disk) -> AsyncIterator[GroupCommit]:
    made = GroupCommit(cast("Storage", disk), backlog=3)
    yield made
    disk.free.set()
    await made.close()


def saved(name: str, data: bytes = b"") -> Saved:
    return Saved("c", name, data, 1.0, ())


async def until_busy(disk: Disk) -> None:
    """One more save has begun."""
    assert await asyncio.to_thread(disk.begun.acquire, timeout=PATIENCE)


async def test_it_is_a_journal(commits: GroupCommit) -> None:
    journal: Journal = commits
    journal.admit()


async def test_nothing_to_do(commits: GroupCommit, disk: Disk) -> None:
    await commits.durable()
    assert disk.batches == []


async def test_durable_is_saved_beside_the_loop(commits: GroupCommit, disk: Disk) -> None:
    commits.put(saved("a"))
    commits.remove("c", "b")
    await commits.durable()
    assert disk.batches == [{("c", "a"): saved("a"), ("c", "b"): None}]
    assert disk.threads == {"discovery-storage_0"}
    await commits.durable()
    assert len(disk.batches) == 1


async def test_many_wait_for_one_commit_and_it_takes_the_last(
    commits: GroupCommit, disk: Disk
) -> None:
    disk.free.clear()
    commits.put(saved("first"))
    first = asyncio.create_task(commits.durable())
    await until_busy(disk)
    waiting = []
    for data in (b"1", b"2", b"3"):
        commits.put(saved("a", data))
        waiting.append(asyncio.create_task(commits.durable()))
        await asyncio.sleep(0)
    assert not first.done()
    disk.free.set()
    await asyncio.gather(first, *waiting)
    assert disk.batches == [{("c", "first"): saved("first")}, {("c", "a"): saved("a", b"3")}]


async def test_who_changed_nothing_waits_for_what_is_under_way(
    commits: GroupCommit, disk: Disk
) -> None:
    disk.free.clear()
    commits.put(saved("a"))
    first = asyncio.create_task(commits.durable())
    await until_busy(disk)
    second = asyncio.create_task(commits.durable())
    await asyncio.sleep(0)
    assert not second.done()
    disk.free.set()
    await asyncio.gather(first, second)
    assert len(disk.batches) == 1


FULL = Refusal(RefusalCode.RESOURCE_EXHAUSTED, "full")


async def test_what_failed_is_refused_and_tried_again(commits: GroupCommit, disk: Disk) -> None:
    disk.failures = [FULL]
    commits.put(saved("a", b"1"))
    commits.put(saved("b"))
    with pytest.raises(Refusal, match="full") as refused:
        await commits.durable()
    assert refused.value.code is RefusalCode.RESOURCE_EXHAUSTED
    commits.put(saved("a", b"2"))
    await commits.durable()
    assert disk.batches == [{("c", "a"): saved("a", b"2"), ("c", "b"): saved("b")}]


async def test_all_who_waited_for_it_are_refused(commits: GroupCommit, disk: Disk) -> None:
    disk.failures = [FULL]
    commits.put(saved("a"))
    outcomes = await asyncio.gather(commits.durable(), commits.durable(), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["full", "full"]


async def test_what_follows_a_failure_takes_it_along(commits: GroupCommit, disk: Disk) -> None:
    disk.failures = [FULL]
    disk.free.clear()
    commits.put(saved("a"))
    first = asyncio.create_task(commits.durable())
    await until_busy(disk)
    commits.put(saved("b"))
    second = asyncio.create_task(commits.durable())
    await asyncio.sleep(0)
    disk.free.set()
    with pytest.raises(Refusal):
        await first
    await second
    assert disk.batches == [{("c", "a"): saved("a"), ("c", "b"): saved("b")}]


async def test_a_bug_loses_nothing_either(commits: GroupCommit, disk: Disk) -> None:
    disk.failures = [ZeroDivisionError()]
    commits.put(saved("a"))
    with pytest.raises(ZeroDivisionError):
        await commits.durable()
    await commits.durable()
    assert disk.batches == [{("c", "a"): saved("a")}]


async def test_a_caller_who_goes_takes_nothing_with_them(commits: GroupCommit, disk: Disk) -> None:
    disk.free.clear()
    commits.put(saved("a"))
    gone = asyncio.create_task(commits.durable())
    stays = asyncio.create_task(commits.durable())
    await until_busy(disk)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    disk.free.set()
    await stays
    assert len(disk.batches) == 1


async def test_too_much_that_waits_is_refused_and_tried_again(
    commits: GroupCommit, disk: Disk
) -> None:
    disk.free.clear()
    for name in "abc":
        commits.admit()
        commits.put(saved(name))
    for _ in range(2):
        with pytest.raises(Refusal, match="cannot store any more") as refused:
            commits.admit()
        assert refused.value.code is RefusalCode.RESOURCE_EXHAUSTED
    await until_busy(disk)  # nobody waits for it, and yet it is tried
    commits.admit()
    disk.free.set()
    await commits.durable()
    assert [len(batch) for batch in disk.batches] == [3]


async def test_closing_saves_what_waits(disk: Disk) -> None:
    commits = GroupCommit(cast("Storage", disk))
    commits.put(saved("a"))
    await commits.close()
    assert disk.batches == [{("c", "a"): saved("a")}]
    assert disk.is_closed


async def test_closing_goes_on_when_it_cannot(disk: Disk) -> None:
    disk.failures = [FULL]
    commits = GroupCommit(cast("Storage", disk))
    commits.put(saved("a"))
    await commits.close()
    assert disk.is_closed

"""How much may wait to be taken, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.sendbudget import (
    BUDGET_OF_ONE,
    SMALL,
    SendBudget,
    network,
    size_of,
)
from kubespan.discovery.server.wire import NotificationEncoder

A, B = b"aaaa", b"bbbb"
HALF = BUDGET_OF_ONE // 2

Task = asyncio.Task[Callable[[], None]]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def spend(budget: SendBudget, address: bytes, size: int) -> Task:
    return asyncio.create_task(budget.spend(address, size))


def test_network_has_room_for_so_much_and_then_waits_in_order() -> None:
    async def scenario() -> None:
        budget = SendBudget()
        tasks = [spend(budget, A, HALF) for _ in range(4)]
        await settle()
        assert [task.done() for task in tasks] == [True, True, False, False]
        # Small enough to fit, but those who were there before come first.
        late = spend(budget, A, SMALL + 1)
        tasks[0].result()()
        await settle()
        assert [task.done() for task in (*tasks, late)] == [True, True, True, False, False]
        tasks[1].result()()
        tasks[2].result()()
        await settle()
        assert late.done()
        assert budget.spent == HALF + SMALL + 1
        tasks[3].result()()
        late.result()()
        assert (budget.spent, budget._accounts) == (0, {})

    asyncio.run(scenario())


def test_networks_do_not_wait_for_each_other() -> None:
    async def scenario() -> None:
        budget = SendBudget()
        await budget.spend(A, BUDGET_OF_ONE)
        async with asyncio.timeout(10):
            await budget.spend(B, BUDGET_OF_ONE)

    asyncio.run(scenario())


def test_one_message_may_be_as_large_as_it_likes() -> None:
    async def scenario() -> None:
        budget = SendBudget()
        async with budget.spending(A, 10 * BUDGET_OF_ONE):
            assert budget.spent == 10 * BUDGET_OF_ONE
        assert budget.spent == 0

    asyncio.run(scenario())


def test_small_message_costs_nothing() -> None:
    async def scenario() -> None:
        budget = SendBudget()
        async with budget.spending(A, SMALL):
            assert (budget.spent, budget._accounts) == (0, {})

    asyncio.run(scenario())


def test_too_much_for_everybody_is_refused() -> None:
    async def scenario() -> None:
        budget = SendBudget(most=HALF)
        async with budget.spending(A, HALF):
            with pytest.raises(Refusal) as caught:
                await budget.spend(B, SMALL + 1)
            assert caught.value.code is RefusalCode.RESOURCE_EXHAUSTED
            assert budget._accounts.keys() == {A}

    asyncio.run(scenario())


def test_whoever_leaves_while_it_waits_holds_up_nobody() -> None:
    async def scenario() -> None:
        budget = SendBudget()
        taken = await budget.spend(A, HALF)
        leaving, next_ = spend(budget, A, BUDGET_OF_ONE), spend(budget, A, HALF)
        await settle()
        assert not next_.done()
        leaving.cancel()
        await settle()
        assert next_.done()
        taken()
        next_.result()()
        assert (budget.spent, budget._accounts) == (0, {})

    asyncio.run(scenario())


def test_whoever_leaves_in_the_moment_of_its_turn_gives_it_back() -> None:
    async def scenario() -> None:
        budget = SendBudget()
        taken = await budget.spend(A, BUDGET_OF_ONE)
        leaving, next_ = spend(budget, A, BUDGET_OF_ONE), spend(budget, A, HALF)
        await settle()
        taken()
        leaving.cancel()
        await settle()
        assert leaving.cancelled()
        next_.result()()
        assert (budget.spent, budget._accounts) == (0, {})

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (b"", b""),
        (b"1234", b"1234"),
        (b"0123456789abcdef", b"01234567"),
        (b"0123456789abcdefeth0", b"01234567"),
    ],
)
def test_network_of_an_address(address: bytes, key: bytes) -> None:
    assert network(address) == key


def test_size_is_about_what_travels() -> None:
    records = tuple(AffiliateRecord(str(n), b"x" * 300, (b"e" * 16, b"f" * 32)) for n in range(50))
    actual = len(NotificationEncoder().encode(Notification(records)))
    assert actual <= size_of(records) <= actual * 1.1

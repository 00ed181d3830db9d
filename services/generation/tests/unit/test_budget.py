"""Memory that jobs wait for."""

import asyncio
from contextlib import AsyncExitStack

from services.generation.handlers.budget import ByteBudget


async def holding(budget: ByteBudget, size: int, log: list[str], name: str) -> None:
    async with budget.take(size):
        log.append(name)
        await asyncio.sleep(0)


async def test_no_more_than_the_budget_is_held_at_once() -> None:
    budget, held, most = ByteBudget(100), 0, 0

    async def job(size: int) -> None:
        nonlocal held, most
        async with budget.take(size):
            held += size
            most = max(most, held)
            await asyncio.sleep(0)
            held -= size

    await asyncio.gather(*(job(10 + number % 60) for number in range(200)))
    assert (held, most <= 100, most > 50) == (0, True, True)


async def test_a_large_one_is_not_starved_by_small_ones() -> None:
    budget, log = ByteBudget(100), list[str]()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(budget.take(60))
        large = asyncio.create_task(holding(budget, 80, log, "large"))
        await asyncio.sleep(0)
        small = asyncio.create_task(holding(budget, 10, log, "small"))
        await asyncio.sleep(0.01)
        assert log == []
    await asyncio.gather(large, small)
    assert log == ["large", "small"]


async def test_more_than_there_is_takes_all_of_it() -> None:
    async with asyncio.timeout(30), ByteBudget(10).take(1_000):
        pass


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    budget, log = ByteBudget(10), list[str]()
    async with budget.take(10):
        waiting = asyncio.create_task(holding(budget, 10, log, "gone"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(30), budget.take(10):
        assert log == []


async def test_who_gives_up_as_it_is_served_gives_it_back() -> None:
    budget, log = ByteBudget(10), list[str]()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(budget.take(10))
        waiting = asyncio.create_task(holding(budget, 10, log, "gone"))
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(30), budget.take(10):
        assert log == []

"""Replicas with names: a successor begins at once, and neither two nor a zombie double anything."""

import asyncio
import signal
import time
from collections import Counter

from libs.events.envelope import Event
from libs.events.payload import Payload
from libs.runtime.testing_crashes import Mortal
from libs.runtime.tests.integration.test_crash_windows import Stage, stage

__all__ = ["stage"]  # the fixture

SESSION_SECONDS = 10.0  # after which Kafka gives a dead member's partitions to others
EVENTS = 30


async def tell_more(stage: Stage, told: list[Event[Payload]]) -> None:
    more = [stage.registered() for _ in range(EVENTS)]
    told += more
    await stage.tell(*more)


async def until_applied(stage: Stage, told: list[Event[Payload]]) -> None:
    async def all_are() -> bool:
        return {event.id for event in told} <= set(await stage.applied())

    await stage.until(all_are)


async def assert_once(stage: Stage, told: list[Event[Payload]]) -> None:
    once = dict.fromkeys((event.id for event in told), 1)
    assert Counter(await stage.applied()) == once


def send(process: Mortal, number: signal.Signals) -> None:
    process.process.send_signal(number)


async def test_the_successor_of_a_dead_replica_has_its_partitions_at_once(stage: Stage) -> None:
    told: list[Event[Payload]] = []
    async with stage.processes.process() as first:
        await tell_more(stage, told)
        await until_applied(stage, told)
        send(first, signal.SIGKILL)
        await first.process.wait()
    died = time.monotonic()
    async with stage.processes.process():
        await tell_more(stage, told)
        await until_applied(stage, told)
        seconds = time.monotonic() - died
    assert seconds < SESSION_SECONDS * 0.7
    await assert_once(stage, told)


async def test_of_two_replicas_one_dies_and_comes_back(stage: Stage) -> None:
    told: list[Event[Payload]] = []
    async with stage.processes.process(BILLING_REPLICA="two"):
        async with stage.processes.process() as one:
            await tell_more(stage, told)
            await until_applied(stage, told)
            send(one, signal.SIGKILL)
            await tell_more(stage, told)
        async with stage.processes.process():
            await tell_more(stage, told)
            await until_applied(stage, told)
    await assert_once(stage, told)


async def test_a_zombie_under_the_name_of_its_successor_doubles_nothing(stage: Stage) -> None:
    told: list[Event[Payload]] = []
    async with stage.processes.process() as zombie:
        await tell_more(stage, told)
        await until_applied(stage, told)
        send(zombie, signal.SIGSTOP)
        await tell_more(stage, told)
        async with stage.processes.process():
            await until_applied(stage, told)
            send(zombie, signal.SIGCONT)
            for _ in range(5):  # both believe that the name is theirs
                await tell_more(stage, told)
                await asyncio.sleep(1)
            await until_applied(stage, told)
    await assert_once(stage, told)

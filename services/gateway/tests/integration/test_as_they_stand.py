"""Requests that are admitted in one statement: it says yes exactly where the domain does."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.events.generation import Operation, RequestFacts
from libs.runtime.db import Connection
from libs.runtime.testing import Streams
from services.gateway.domain.admission import Admitted, Counter, Payer, Request, offered
from services.gateway.domain.limits import Allowance, Kind, Policy
from services.gateway.domain.orders import Order
from services.gateway.store import admission as store
from services.gateway.store.admission import Locking, Written
from services.gateway.tests.integration.conftest import RunningGateway
from services.gateway.tests.integration.test_admission import held, requested

STATES = 150
DEFAULTS = {
    Kind.USER: Policy(per_minute=3, credits_per_day=12, tokens_per_day=40),
    Kind.WORKSPACE: Policy(per_minute=4, credits_per_day=15),
    Kind.KEY: Policy(per_minute=2),
    Kind.PROVIDER: Policy(per_minute=5),
}
ROUTE = "/api/jobs"
ADD_PERSON = """
    WITH person AS (
        INSERT INTO users (user_id, email, password_hash, role, created_at, updated_at,
                           banned_at, session_epoch)
        VALUES ($1, $1::uuid::text, '', 'USER', now(), now(), $2, $3)
    ), account AS (
        INSERT INTO credit_account VALUES ($1, 1, $4, $5, $6)
    ), remembered AS (
        INSERT INTO idempotency SELECT $1, $7, 'one', '\\x00', gen_random_uuid(), $8
         WHERE $8::timestamptz IS NOT NULL
    )
    SELECT 1
"""
ADD_KEY = """
    INSERT INTO api_key (key_id, user_id, account_id, name, scopes, secret_sha256, created_at,
                         revoked_at)
    VALUES ($1, $2, $2, '', '{generate}', sha256(''), now(), $3)
"""
ADD_ALLOWANCE = """
    INSERT INTO allowance VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


class World:
    """People, their credits and limits, and what they ask for: all of it by chance."""

    def __init__(self, seed: int, now: datetime) -> None:
        self.random, self.now = Random(seed), now  # a test's chances
        self.people = [UUID(int=self.random.getrandbits(128)) for _ in range(2)]
        self.key = UUID(int=self.random.getrandbits(128))
        self.workspace = UUID(int=self.random.getrandbits(128))
        self.requests = [self._request() for _ in range(self.random.randint(1, 4))]

    def maybe(self, value: Any, chance: float = 0.1) -> Any:
        return value if self.random.random() < chance else None

    def around(self, span: timedelta) -> datetime:
        return self.now + span * self.random.uniform(-1, 1)

    async def build(self, connection: Connection) -> None:
        execute = connection.execute
        for person in self.people:
            await execute(
                ADD_PERSON,
                person,
                self.maybe(self.now, 0.05),
                self.random.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
                self.random.randint(0, 12),
                self.random.choice([0, 0, 3]),
                self.random.choice([0, 0, 2]),
                ROUTE,
                self.maybe(self.around(timedelta(days=2)), 0.2),
            )
        await execute(ADD_KEY, self.key, self.people[0], self.maybe(self.now))
        for kind, subject in (
            *((Kind.USER, str(each)) for each in self.people),
            (Kind.WORKSPACE, str(self.workspace)),
            (Kind.KEY, str(self.key)),
            (Kind.PROVIDER, "local"),
        ):
            if self.random.random() < 0.7:
                await execute(ADD_ALLOWANCE, kind.value, subject, *self._allowance())

    def _allowance(self) -> tuple[Any, ...]:
        throttled_until = self.maybe(self.around(timedelta(minutes=1)), 0.3)
        return (
            self.maybe(self.random.randint(1, 90_000), 0.4),
            self.maybe(self.random.randint(0, 20), 0.3),
            self.maybe(self.random.randint(0, 60), 0.3),
            throttled_until and self.random.randint(1, 3),
            throttled_until,
            self.around(timedelta(seconds=70)),
            (self.now + timedelta(days=self.random.choice([-1, 0, 0, 1]))).date(),
            self.random.randint(0, 8),
            self.random.randint(0, 30),
        )

    def _request(self) -> Request:
        person = self.random.choice(self.people)
        order = Order(
            operation=self.random.choice(["image", "upscale"]),
            provider="local",
            model="local-sketch",
            prompt="a fox" * self.random.randint(1, 6),
            options={},
            units=self.random.randint(1, 3),
        )
        return Request(
            job_id=UUID(int=self.random.getrandbits(128)),
            payer=Payer(
                user_id=person,
                account_id=person,
                workspace_id=self.maybe(self.workspace, 0.2),
                api_key_id=self.maybe(self.key, 0.2),
                session_epoch=self.maybe(0, 0.7),
            ),
            order=order,
            fingerprint=order.fingerprint(),
            route=ROUTE,
            key=self.maybe("one", 0.3),
        )


def facts_of(request: Request, admitted: Admitted, now: datetime) -> RequestFacts:
    payer, order = request.payer, request.order
    return RequestFacts(
        job_id=request.job_id,
        account_id=payer.account_id,
        user_id=payer.user_id,
        workspace_id=payer.workspace_id,
        operation=order.operation,
        provider=order.provider,
        model=order.model,
        prompt=order.prompt,
        options=order.options,
        unit_credits=admitted.unit_credits,
        units=admitted.units,
        price_book_version=admitted.book_version,
        requested_at=now,
        deadline_at=now + timedelta(minutes=10),
    )


async def compared(connection: Connection, requests: Sequence[Request]) -> bool:
    """Whether requests are admitted; the domain and the statement must say the same."""
    scene = await store.look(connection, requests, Locking.WAIT)
    assert scene.book is not None
    counter = Counter(
        now=scene.now,
        book=scene.book,
        allowances=[row.allowance(DEFAULTS, scene.now) for row in scene.allowances],
    )
    written = []
    for request in requests:
        offer = counter.offer(request.order)
        assert isinstance(offer, Admitted)
        facts = facts_of(request, offer, scene.now)
        written.append(Written(request=request, facts=facts, tokens=offer.tokens))
    decided = [
        counter.decide(request, standing)
        for request, standing in zip(requests, scene.standings, strict=True)
    ]
    left = await store.admit(connection, written, [], DEFAULTS)
    assert (left is not None) == all(isinstance(each, Admitted) for each in decided), decided
    if left is None:
        assert await connection.fetchval("SELECT count(*) FROM job") == 0
        return False
    in_order = sorted(left.rows, key=lambda row: row.subject.lock_order)
    allowances: list[Allowance] = [row.allowance(DEFAULTS, scene.now) for row in in_order]
    assert allowances == counter.allowances_of(requests)
    assert await connection.fetchval("SELECT count(*) FROM job") == len(requests)
    taken = sum(each.facts.credits_held for each in written)
    assert await connection.fetchval("SELECT sum(credits)::bigint FROM hold") == taken
    return True


@pytest.mark.parametrize("part", range(2))
async def test_the_statement_says_yes_exactly_where_the_domain_does(
    streams: Streams, part: int
) -> None:
    now, admitted = datetime.now(UTC), 0
    for seed in range(part * STATES, (part + 1) * STATES):
        world = World(seed, now)
        if len({each.payer.user_id for each in world.requests if each.key}) < sum(
            each.key is not None for each in world.requests
        ):
            continue  # a repeat within the batch is never handed to the statement
        async with streams.database.read() as connection:
            attempt = connection.transaction()
            await attempt.start()
            await world.build(connection)
            admitted += await compared(connection, world.requests)
            await attempt.rollback()  # nothing of a world is kept
    assert STATES / 10 < admitted < STATES * 9 / 10  # the worlds are neither rich nor poor


@pytest.mark.parametrize(
    ("away", "is_admitted"),
    [(timedelta(0), True), (timedelta(minutes=1), False), (timedelta(minutes=-1), False)],
)
async def test_a_time_that_is_not_the_databases_admits_nothing(
    streams: Streams, away: timedelta, is_admitted: bool
) -> None:
    person = uuid4()
    order = Order(
        operation="image",
        provider="local",
        model="local-sketch",
        prompt="a fox",
        options={},
        units=1,
    )
    request = Request(
        job_id=uuid4(),
        payer=Payer(user_id=person, account_id=person),
        order=order,
        fingerprint=order.fingerprint(),
        route=ROUTE,
    )
    async with streams.database.read() as connection:
        await connection.execute(ADD_PERSON, person, None, 0, 5, 0, 0, ROUTE, None)
        now = await connection.fetchval("SELECT clock_timestamp()")
        scene = await store.look(connection, [request], Locking.NONE)
        assert scene.book is not None
        offer = offered(order, scene.book)
        assert isinstance(offer, Admitted)
        facts = facts_of(request, offer, now + away)
        written = Written(request=request, facts=facts, tokens=offer.tokens)
        left = await store.admit(connection, [written], [], DEFAULTS)
        assert (left is not None) == is_admitted
        assert await connection.fetchval("SELECT count(*) FROM job") == is_admitted


async def test_what_can_be_admitted_as_it_stands_takes_one_statement(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await gateway.sign_up()
    await ada.start_job()  # until then the gateway has heard of no time and no book

    async def look(*_: Any) -> None:
        raise AssertionError("it was looked at first")

    monkeypatch.setattr(store, "look", look)
    for _ in range(3):
        await ada.start_job(n=2)
    assert await held(gateway, ada) == (7, 7)
    assert len(await requested(gateway)) == 4


async def test_a_book_that_comes_into_force_prices_the_very_next_request(
    gateway: RunningGateway,
) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    await ada.start_job()
    prices = dict.fromkeys((each.value for each in Operation), 3)
    answer = await admin.post("/api/admin/price-books", {"operations": prices})
    assert answer.status_code in {200, 201}, answer.text
    facts = await gateway.facts(await ada.start_job())
    assert (facts.unit_credits, facts.price_book_version) == (3, 2)


async def test_requests_that_come_together_end_when_each_is_wanted(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    wanted = range(60, 72)
    job_ids = await asyncio.gather(*(ada.start_job(deadlineSeconds=each) for each in wanted))
    for job_id, seconds in zip(job_ids, wanted, strict=True):
        span = "SELECT deadline_at - created_at FROM job WHERE job_id = $1"
        assert await gateway.value(span, job_id) == timedelta(seconds=seconds)


@pytest.mark.parametrize("was_written", [True, False])
async def test_a_connection_lost_in_the_statement_neither_doubles_nor_loses_a_job(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, was_written: bool
) -> None:
    """Whether it was committed, nobody knows until the account is locked again."""
    ada = await gateway.sign_up()
    await ada.start_job()
    real, losses = store.admit, [asyncpg.ConnectionDoesNotExistError("cut")]

    async def admit(*arguments: Any) -> Any:
        if not losses:
            return await real(*arguments)
        if was_written:
            await real(*arguments)
        raise losses.pop()

    monkeypatch.setattr(store, "admit", admit)
    job_id = await ada.start_job(n=2)
    assert not losses
    assert await gateway.value("SELECT count(*) FROM job") == 2
    assert await held(gateway, ada) == (3, 3)
    assert [each.job_id for each in await requested(gateway)][1:] == [job_id]

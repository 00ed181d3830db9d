"""Price books through HTTP: added once, never changed, chosen by the database's clock; quotes."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events.operations import PriceBookAdded
from services.gateway.domain.pricing import read_book
from services.gateway.tests.integration.conftest import Person, RunningGateway, Start
from services.gateway.tests.integration.test_admission import BODY, assert_problem, held
from services.gateway.tests.unit.test_pricing import BROKEN, PRICES, written

BOOKS = "/api/admin/price-books"


async def add(admin: Person, body: bytes, start: datetime | None = None) -> Any:
    params = {} if start is None else {"effectiveFrom": start.isoformat()}
    return await admin.client.post(BOOKS, content=body, params=params, headers=admin.headers)


async def test_the_first_book_has_a_default_for_every_operation(gateway: RunningGateway) -> None:
    body = await gateway.value("SELECT body FROM price_book WHERE version = 1")
    ones = ("image", "edit", "describe", "variate", "vectorise", "background")
    assert read_book(body).operations == {**dict.fromkeys(ones, 1), "upscale": 2, "video": 5}


async def test_a_book_is_added_told_and_in_force_for_the_next_request(
    gateway: RunningGateway,
) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    rules = [{"name": "fine", "operation": "image", "quality": "high", "credits": 6}]
    body = written(name="spring", operations={**PRICES, "image": 4}, rules=rules)
    answer = await add(admin, body)
    assert answer.status_code == 201, answer.text
    added = answer.json()
    assert (added["version"], added["isInForce"], added["name"]) == (2, True, "spring")
    assert added["sha256"] == hashlib.sha256(body).hexdigest()
    assert added["body"] == body.decode()

    again = await add(admin, body)
    assert (again.status_code, again.json()["version"]) == (200, 2)
    (told,) = [each for each in await gateway.published() if isinstance(each, PriceBookAdded)]
    assert (told.version, told.sha256, told.actor) == (2, added["sha256"], admin.user_id)
    assert told.body == body.decode()

    facts = await gateway.facts(await ada.start_job(quality="high", n=2))
    assert (facts.unit_credits, facts.price_book_version) == (6, 2)
    assert await ada.credits() == 8
    listed = (await admin.get(BOOKS)).json()["items"]
    assert [(each["version"], each["isInForce"]) for each in listed] == [(1, False), (2, True)]
    assert (await admin.get(f"{BOOKS}/1")).json()["book"]["operations"] == PRICES
    for version in ("3", "-1", "9" * 30):
        missing = await admin.get(f"{BOOKS}/{version}")
        assert_problem(missing, 404, "price_book_not_found", "no price book")


async def test_a_book_to_come_waits_for_its_instant_and_the_past_is_refused(
    gateway: RunningGateway,
) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    dear = written(operations={**PRICES, "image": 9})
    now = datetime.now(UTC)
    past = await add(admin, dear, now - timedelta(seconds=1))
    assert_problem(past, 422, "effective_in_the_past", "has passed")
    assert (await add(admin, dear, now + timedelta(days=1))).json()["isInForce"] is False
    start = datetime.now(UTC) + timedelta(seconds=3)
    soon = await add(admin, written(operations={**PRICES, "image": 7}), start)
    assert soon.json()["version"] == 3
    versions = set()
    async with asyncio.timeout(60):
        while 3 not in versions:
            quote = (await ada.post("/api/quote", BODY)).json()
            versions.add(quote["priceBookVersion"])
            assert quote["unitCredits"] == {1: 1, 3: 7}[quote["priceBookVersion"]]
            await asyncio.sleep(0.1)
    naive = await admin.client.post(
        BOOKS, content=dear, params={"effectiveFrom": "2030-01-01T00:00:00"}, headers=admin.headers
    )
    assert naive.status_code == 400


async def test_of_books_added_at_once_each_gets_a_version(gateway: RunningGateway) -> None:
    admin = await gateway.admin()
    bodies = [written(operations={**PRICES, "image": price}) for price in range(2, 8)]
    answers = await asyncio.gather(*(add(admin, body) for body in bodies))
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3, 4, 5, 6, 7]


async def test_nothing_is_written_of_a_bad_book_or_by_somebody_else(
    gateway: RunningGateway,
) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    for body, _ in BROKEN:
        answer = await add(admin, body)
        assert_problem(answer, 422, "invalid_price_book", "")
    for person, status in ((ada, 403), (Person(ada.user_id, "x", ada.client), 401)):
        assert (await add(person, written())).status_code == status
        assert (await person.get(BOOKS)).status_code == status
    assert await gateway.value("SELECT count(*) FROM price_book") == 1
    assert not [each for each in await gateway.published() if isinstance(each, PriceBookAdded)]


async def state_of(gateway: RunningGateway) -> Any:
    return await gateway.value(
        "SELECT (SELECT jsonb_agg(t) FROM (SELECT * FROM credit_account ORDER BY 1) t)::text"
        " || coalesce((SELECT jsonb_agg(t) FROM allowance t)::text, '')"
        " || (SELECT count(*) FROM outbox) || (SELECT count(*) FROM job)"
    )


async def test_a_quote_says_what_a_request_would_cost_and_changes_nothing(
    start_gateway: Start,
) -> None:
    gateway = await start_gateway(rate_limit_per_minute=2, signup_credits=5)
    ada = await gateway.sign_up()
    before = await state_of(gateway)
    answers = [await ada.post("/api/quote", {**BODY, "n": 3}) for _ in range(5)]
    answer = answers[-1]
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "credits": 3,
        "unitCredits": 1,
        "units": 3,
        "priceBookVersion": 1,
        "rule": "default",
        "wouldBeAdmitted": True,
        "refusal": None,
        "availableCredits": 5,
        "estimatedTokens": 5,
        "limits": [
            {"limit": "user", "measure": "requests", "left": 2},
            {"limit": "user", "measure": "credits", "left": 10_000},
            {"limit": "user", "measure": "tokens", "left": 1_000_000},
        ],
    }
    assert await state_of(gateway) == before

    short = (await ada.post("/api/quote", {**BODY, "n": 6})).json()
    assert (short["wouldBeAdmitted"], short["refusal"]["code"]) == (False, "insufficient_credits")
    for _ in range(2):
        await ada.start_job()
    limited = (await ada.post("/api/quote", BODY)).json()
    assert limited["refusal"]["code"] == "rate_limited"
    assert limited["limits"][0]["left"] == 0
    await gateway.run("UPDATE users SET banned_at = now() WHERE user_id = $1", ada.user_id)
    banned = (await ada.post("/api/quote", BODY)).json()
    assert banned["refusal"]["code"] == "user_banned"
    unknown = await ada.post("/api/quote", {**BODY, "model": "x"})
    assert_problem(unknown, 400, "invalid_request", "Unsupported model")
    assert (await gateway.client.post("/api/quote", json=BODY)).status_code == 401


async def test_a_request_can_insist_on_the_price_it_was_quoted(gateway: RunningGateway) -> None:
    admin, ada = await gateway.admin(), await gateway.sign_up()
    agreed = {**BODY, "priceBookVersion": 1}
    assert (await ada.post("/api/jobs", agreed)).status_code == 202
    await add(admin, written(operations={**PRICES, "image": 4}))
    refused = await ada.post("/api/jobs", agreed)
    assert_problem(refused, 409, "price_book_expired", "book 2 is in force, not 1")
    assert refused.json()["priceBookVersion"] == 2
    quote = (await ada.post("/api/quote", agreed)).json()
    assert (quote["refusal"]["code"], quote["credits"]) == ("price_book_expired", 4)
    for wrong in ("x", 1.5, -1, 0, 2**70):
        answer = await ada.post("/api/jobs", {**BODY, "priceBookVersion": wrong})
        assert answer.status_code in {400, 409}, answer.text
    assert await held(gateway, ada) == (1, 1)


async def test_without_a_price_nothing_is_admitted(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    body = json.dumps({"operations": {"video": 5}})
    await gateway.run(
        "INSERT INTO price_book VALUES (2, now(), encode(sha256($1::text::bytea), 'hex'), $1)", body
    )
    for path in ("/api/jobs", "/api/quote"):
        refused = await ada.post(path, BODY)
        assert_problem(refused, 503, "no_price", "No price book in force has a price for image")
    assert await held(gateway, ada) == (0, 0)


async def test_a_book_can_say_what_new_users_begin_with(gateway: RunningGateway) -> None:
    admin, before = await gateway.admin(), await gateway.sign_up()
    await add(admin, written(accounts={"signup_credits": 7, "grace": 2}))
    after = await gateway.sign_up()
    assert (await before.credits(), await after.credits()) == (20, 7)
    grace = "SELECT grace FROM credit_account WHERE account_id = $1"
    assert await gateway.value(grace, after.user_id) == 2

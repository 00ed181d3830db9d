"""Prices, limits and bans by the command line, and what a person notices of them."""

import json
from pathlib import Path

from tests.e2e.system import System
from tools.api_client import Json
from tools.places import ROOT

BODY: Json = {"prompt": "a fox in the snow", "provider": "local", "model": "local-sketch"}


def admin(system: System, *words: str) -> Json:
    """What `./daygen admin WORDS --json` says."""
    answer: Json = json.loads(system.command("admin", *words, "--json").stdout)
    return answer


async def test_a_new_book_prices_the_next_request_and_can_be_taken_back_by_another(
    system: System, tmp_path: Path
) -> None:
    usual = ROOT / "infra" / "prices" / "seed-time.json"
    dear = tmp_path / "dear.json"
    book = json.loads(usual.read_text())
    del book["accounts"]
    dear.write_text(json.dumps(book | {"operations": book["operations"] | {"image": 4}}))
    cheap = tmp_path / "cheap.json"
    cheap.write_text(json.dumps(book))
    async with system.person() as person:
        added = admin(system, "price-book", "add", str(dear))
        quote = await person.call("POST", "/api/quote", json=BODY)
        assert (quote["credits"], quote["priceBookVersion"]) == (4, added["version"])
        job = await person.call("POST", "/api/jobs", json=BODY)
        assert admin(system, "price-book", "add", str(cheap))["version"] == added["version"] + 1
        shown = await person.call("GET", f"/api/jobs/{job['jobId']}")
        assert shown["credits"]["priceBookVersion"] == added["version"]
        assert (await person.call("POST", "/api/quote", json=BODY))["credits"] == 1
    listing = system.command("admin", "price-book", "list").stdout.splitlines()
    assert listing[-1].endswith("in force")
    broken = tmp_path / "broken.json"
    broken.write_text('{"operations": {"image": -1}}')
    refused = system.command("admin", "price-book", "add", str(broken), check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("daygen: This is not a price book")
    assert refused.stderr.count("\n") == 1


async def test_a_throttle_and_a_ban_hold_at_once_and_end(system: System) -> None:
    async with system.person() as person:
        user = (await person.call("GET", "/api/auth/me"))["id"]
        why = ("--why", "a test")
        throttled = admin(
            system, "limits", "throttle", "user", user, "--per-minute", "1", "--for", "10m", *why
        )
        assert throttled["inForce"]["perMinute"] == 1
        statuses = [(await person.answer("POST", "/api/jobs", json=BODY))[0] for _ in range(2)]
        assert statuses == [202, 429]
        assert admin(system, "limits", "throttle", "user", user, *why)["throttledUntil"] is None
        assert admin(system, "ban", user, *why)["bannedAt"] is not None
        assert (await person.answer("POST", "/api/jobs", json=BODY))[0] == 403
        assert admin(system, "unban", user, *why)["bannedAt"] is None
        assert "a minute:" in system.command("admin", "limits", "show", "user", user).stdout

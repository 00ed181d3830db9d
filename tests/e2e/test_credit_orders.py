"""Orders of an administrator on the whole system: what is answered 200, admission already knows."""

import asyncio
from http import HTTPStatus
from pathlib import Path

from tests.e2e.conftest import SIGNUP_CREDITS
from tests.e2e.system import System, until
from tools.api_client import ApiClient
from tools.invariants import what_is_wrong

IN_FORCE = (HTTPStatus.OK, HTTPStatus.ACCEPTED)  # at once, or soon


async def test_grants_and_deductions_are_in_force_when_they_are_answered(system: System) -> None:
    status = system.status()
    password = (await asyncio.to_thread(Path(status["admin"]["password_file"]).read_text)).strip()
    async with system.person() as person, ApiClient(status["gateway_url"]) as admin:
        await admin.log_in(status["admin"]["email"], password)
        user = await person.call("GET", "/api/auth/me")
        account = f"/api/admin/accounts/{user['id']}"

        async def credits_left() -> int:
            return int((await person.call("GET", "/api/auth/me"))["credits"])

        async def is_in_force(answered: int, expected: int) -> None:
            """At once after a 200; a system that is too busy for that says 202."""

            async def is_shown() -> bool:
                return await credits_left() == expected

            assert answered in IN_FORCE
            if answered == HTTPStatus.OK:
                assert await is_shown()
            else:
                await until(is_shown, seconds=90)

        grant = {"credits": 5, "reason": "A present."}
        answered, told = await admin.answer("POST", f"{account}/grants", json=grant)
        await is_in_force(answered, SIGNUP_CREDITS + 5)

        async def is_told() -> bool:
            mails = (system.home / "mails").glob("[0-9]*.eml")
            return any(user["email"] in text and "5 credits have come" in text
                       for text in (each.read_text() for each in mails))  # fmt: skip

        await until(is_told, seconds=60)

        take = {"credits": 12, "reason": "A mistake."}
        answered, told = await admin.answer("POST", f"{account}/deductions", json=take)
        await is_in_force(answered, 3)
        answered, _ = await admin.answer("POST", f"{account}/deductions", json=take)
        assert (answered, await credits_left()) == (402, 3)

        limit = {"grace": 2, "reason": "Trusted."}
        answered, told = await admin.answer("PUT", f"{account}/grace", json=limit)
        assert answered in IN_FORCE, told

        async def is_booked() -> bool:
            balance = await person.call("GET", "/api/credits/balance")
            shown = (balance["settled"], balance["grace"], balance["available"], balance["version"])
            return shown == (3, 2, 5, 4)

        await until(is_booked, seconds=90)
        opened = await person.call("GET", "/api/credits/balance?asOfVersion=1")
        assert opened["settled"] == SIGNUP_CREDITS
        answered, _ = await person.answer("POST", f"{account}/grants", json=grant)
        assert answered == 403
    async with system.database() as connection:
        assert "accounts whose copy differs from the ledger" not in await what_is_wrong(connection)

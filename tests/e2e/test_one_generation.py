"""One generation through every service, as a person would see it."""

import hashlib
from datetime import UTC, datetime, timedelta
from io import BytesIO
from uuid import UUID

from PIL import Image

from tests.e2e.conftest import SIGNUP_CREDITS
from tests.e2e.system import System
from tools.trail import read_trail


async def test_a_prompt_becomes_a_picture_a_charge_a_gallery_entry_and_a_usage_row(
    system: System,
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    async with system.person() as person:
        made = await person.call(
            "POST", "/api/image/local", json={"prompt": "a quiet harbour", "model": "local-sketch"}
        )
        job = await person.call("GET", f"/api/jobs/{made['jobId']}")
        assert job["status"] == "COMPLETED"

        # Read your writes: everything is there by the time the answer is.
        user = await person.call("GET", "/api/auth/me")
        items = (await person.call("GET", "/api/r2files"))["items"]
        usage = (await person.call("GET", f"/api/usage/mine?jobId={job['id']}"))["items"]
        booked = (await person.call("GET", f"/api/credits/transactions?jobId={job['id']}"))["items"]
        assert user["credits"] == SIGNUP_CREDITS - 1
        assert [item["fileUrl"] for item in items] == [job["resultUrl"]]
        assert [row["credits"] for row in usage] == [1]
        assert sorted(each["kind"] for each in booked) == ["capture", "reserve"]
        assert all(sum(entry["credits"] for entry in each["entries"]) == 0 for each in booked)

        content_type, content = await person.download(job["resultUrl"])
        with Image.open(BytesIO(content)) as picture:
            assert min(picture.size) >= 1024
            assert content_type == picture.get_format_mimetype()
        stored = await system.scalar(
            "SELECT sha256 FROM gallery.asset JOIN gallery.item ON asset_key = key"
            " WHERE job_id = $1",
            UUID(job["id"]),
        )
        assert stored == hashlib.sha256(content).hexdigest()

    trail = await read_trail(system.status()["kafka"]["bootstrap"], UUID(job["id"]), since=began)
    types = [event.type for event in trail]
    assert types[0] == "daygen.generation.requested"
    assert sorted(types) == sorted(
        [
            "daygen.generation.requested",
            "daygen.credits.reserved",
            "daygen.generation.completed",
            "daygen.credits.captured",
            "daygen.gallery.items_added",
            "daygen.usage.recorded",
        ]
    )


async def test_a_repeated_post_with_one_key_joins_the_same_job(system: System) -> None:
    async with system.person() as person:
        body = {"prompt": "a kite", "model": "local-sketch"}
        headers = {"Idempotency-Key": "kite-1"}
        first = await person.call("POST", "/api/image/local", json=body, headers=headers)
        again = await person.call("POST", "/api/image/local", json=body, headers=headers)
        assert first["jobId"] == again["jobId"]
        status, _ = await person.answer(
            "POST", "/api/image/local", json={**body, "prompt": "two kites"}, headers=headers
        )
        assert status == 422
        user = await person.call("GET", "/api/auth/me")
        assert user["credits"] == SIGNUP_CREDITS - 1

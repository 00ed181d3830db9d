"""Names and pictures of people, through HTTP and object storage."""

import asyncio
import base64
from io import BytesIO
from typing import Any, Final

import httpx2
import pytest
from PIL import Image

from services.gateway.tests.integration.conftest import (
    ORIGIN,
    Person,
    RunningGateway,
    Start,
)

WAIT_SECONDS = 60.0


def picture(form: str = "JPEG", side: int = 64, colour: str = "red") -> bytes:
    content = BytesIO()
    Image.new("RGB", (side, side), colour).save(content, form)
    return content.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def change(person: Person, **body: Any) -> httpx2.Response:
    return await person.client.patch("/api/users/me", json=body, headers=person.headers)


async def fetch(gateway: RunningGateway, url: str) -> httpx2.Response:
    path = url.removeprefix("https://daygen.test")
    return await gateway.client.get(path, headers={"Origin": ORIGIN})


async def until_gone(gateway: RunningGateway, url: str) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await fetch(gateway, url)).status_code != 404:
            await asyncio.sleep(0.05)


async def test_a_name_and_a_picture_are_changed_apart_and_removed(
    gateway: RunningGateway,
) -> None:
    ada = await gateway.sign_up()
    named = (await change(ada, displayName="  Ada ")).json()
    assert (named["displayName"], named["profileImage"]) == ("Ada", None)
    first = picture()
    shown = (await change(ada, profileImage=data_url(first))).json()
    assert shown["displayName"] == "Ada"
    url = shown["profileImage"]
    assert url.startswith(f"https://daygen.test/profile-pictures/{ada.user_id}/")
    assert url.endswith(".jpg")  # what it is, the content says
    for path in ("/api/auth/me", "/api/users/me"):
        assert (await ada.get(path)).json() == shown
    got = await fetch(gateway, url)
    assert (got.status_code, got.headers["content-type"]) == (200, "image/jpeg")
    assert got.headers["access-control-allow-origin"] == "*"
    assert got.headers["x-content-type-options"] == "nosniff"
    with Image.open(BytesIO(got.content)) as image:
        assert image.size == (64, 64)
    assert (await change(ada, profileImage=url)).json()["profileImage"] == url  # as it is
    assert (await change(ada, profileImage=data_url(first))).json()["profileImage"] == url
    second = (await change(ada, profileImage=data_url(picture("PNG")))).json()["profileImage"]
    assert second.endswith(".png")
    await until_gone(gateway, url)
    cleared = (await change(ada, displayName=None, profileImage=None)).json()
    assert (cleared["displayName"], cleared["profileImage"]) == (None, None)
    await until_gone(gateway, second)
    assert await gateway.value("SELECT count(*) FROM profile_object") == 0


async def test_a_later_clients_routes_do_the_same(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    plain = base64.b64encode(picture("WEBP")).decode()
    body = {"base64Data": plain, "mimeType": "image/png"}
    shown = (await ada.post("/api/users/me/profile-picture", body)).json()
    assert (await fetch(gateway, shown["profileImage"])).headers["content-type"] == "image/webp"
    assert (await ada.post("/api/users/me", {"email": "x", "authUserId": "y"})).json() == shown
    removed = (await ada.post("/api/users/me/remove-profile-picture", None)).json()
    assert removed["profileImage"] is None


NO_PICTURES: Final[list[tuple[Any, int, str]]] = [
    ("", 400, "bad_image"),
    ("https://elsewhere.example.com/me.png", 400, "bad_image"),
    ("data:image/png;base64,???", 400, "bad_image"),
    (data_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), 400, "bad_image"),
    (data_url(b"<script>alert(1)</script>" * 10), 400, "bad_image"),
    (data_url(picture()[:200], "image/jpeg"), 400, "bad_image"),
    (data_url(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0" + b"\0" * 40), 400, "bad_image"),
    (data_url(picture("PNG") + b"\0" * 5_000_000), 413, "image_too_large"),
    ("x" * 8_000_000, 413, "payload_too_large"),
    (7, 400, "invalid_request"),
    (["x"], 400, "invalid_request"),
]


async def test_what_is_no_picture_changes_nothing(
    gateway: RunningGateway, subtests: pytest.Subtests
) -> None:
    for sent, status, code in NO_PICTURES:
        with subtests.test(str(sent)[:40]):
            ada = await gateway.sign_up()
            answer = await change(ada, profileImage=sent)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
            assert (await ada.get("/api/users/me")).json()["profileImage"] is None


async def test_bad_names_and_foreign_addresses_are_refused(gateway: RunningGateway) -> None:
    ada = await gateway.sign_up()
    for name in ("x" * 101, "a\0b", 7):
        assert (await change(ada, displayName=name)).status_code == 400
    for key in ("../inputs/x", "%2e%2e/inputs/x", "x", f"{ada.user_id}/{'0' * 64}.svg"):
        assert (await fetch(gateway, f"/profile-pictures/{key}")).status_code == 404


async def test_what_a_dead_process_has_stored_is_deleted_and_what_is_shown_stays(
    gateway: RunningGateway,
) -> None:
    ada, bob = await gateway.sign_up(), await gateway.sign_up()
    stale = (await change(ada, profileImage=data_url(picture()))).json()["profileImage"]
    kept = (await change(bob, profileImage=data_url(picture()))).json()["profileImage"]
    # As if ada's process had died between storing and showing, and bob's row had been left behind.
    await gateway.run("UPDATE users SET profile_image = NULL WHERE user_id = $1", ada.user_id)
    for url in (stale, kept):
        key = url.replace("https://daygen.test/profile-pictures/", "profiles/")
        await gateway.run("INSERT INTO profile_object VALUES ($1, now())", key)
    other = (await change(ada, profileImage=data_url(picture(colour="blue")))).json()
    assert (await change(ada, profileImage=None)).status_code == 200  # wakes the sweeper
    await until_gone(gateway, stale)
    await until_gone(gateway, other["profileImage"])
    assert (await fetch(gateway, kept)).status_code == 200
    assert await gateway.value("SELECT count(*) FROM profile_object") == 0


async def test_whoever_is_erased_leaves_no_picture(start_gateway: Start) -> None:
    gateway = await start_gateway()
    ada = await gateway.sign_up()
    url = (await change(ada, profileImage=data_url(picture()))).json()["profileImage"]
    assert (await ada.erase()).status_code == 204
    await until_gone(gateway, url)

"""Pictures that people bring: by every way, whole or refused, each an object of its own."""

import base64
import io
import random
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
import pytest
from PIL import Image, PngImagePlugin

from libs.events.names import Service
from services.gallery.domain.uploads import UPLOAD_BYTES_MAX
from services.gallery.tests.integration.conftest import PUBLIC_BASE_URL, RunningGallery
from services.gallery.tests.integration.support import person

UPLOAD = "/api/upload"


def picture(kind: str = "PNG", side: int = 32, **options: Any) -> bytes:
    """A small true picture."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(side).randbytes(3 * side * side)).save(
        out, kind, **options
    )
    return out.getvalue()


async def address(
    gallery: RunningGallery, user_id: UUID, content_type: str = "image/png"
) -> dict[str, Any]:
    sent = {"fileName": "dusk.png", "contentType": content_type, "folder": "uploads"}
    answer = await gallery.call("POST", f"{UPLOAD}/presigned", person(user_id), sent)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["success"] is True
    return body


async def put(
    gallery: RunningGallery, url: str, content: Any, content_type: str = "image/png"
) -> httpx2.Response:
    path = url.removeprefix(PUBLIC_BASE_URL)
    return await gallery.client.put(path, content=content, headers={"Content-Type": content_type})


async def form(
    gallery: RunningGallery, user_id: UUID, path: str, file: tuple[str, bytes, str]
) -> httpx2.Response:
    token = gallery.tokens.issue(person(user_id), Service.GALLERY)
    return await gallery.client.post(
        f"{UPLOAD}/{path}", files={"file": file}, headers={"Authorization": f"Bearer {token}"}
    )


async def listed(gallery: RunningGallery, user_id: UUID) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await gallery.get("/api/r2files", person(user_id))).json()[
        "items"
    ]
    return items


async def objects(gallery: RunningGallery) -> int:
    return len([each async for each in gallery.bucket.list("uploads/")])


async def served(gallery: RunningGallery, url: str) -> httpx2.Response:
    return await gallery.client.get(url.removeprefix(PUBLIC_BASE_URL))


async def test_a_file_is_put_to_an_address_once_and_listed(gallery: RunningGallery) -> None:
    me, content = uuid4(), picture()
    given = await address(gallery, me)

    first = await put(gallery, given["uploadUrl"], content)
    again = await put(gallery, given["uploadUrl"], picture(side=16))

    assert first.status_code == 200, first.text
    assert first.json()["publicUrl"] == given["publicUrl"]
    assert (again.status_code, again.json()["code"]) == (409, "upload_address_used")
    (item,) = await listed(gallery, me)
    assert (item["fileUrl"], item["fileName"], item["mimeType"], item["jobId"]) == (
        given["publicUrl"],
        "dusk.png",
        "image/png",
        None,
    )
    found = await served(gallery, item["fileUrl"])
    assert (found.content, found.headers["content-type"]) == (content, "image/png")


KINDS: Final[list[str]] = ["PNG", "JPEG", "WEBP", "GIF"]


async def test_base64_and_forms_bring_every_kind_that_is_kept(
    gallery: RunningGallery, subtests: pytest.Subtests
) -> None:
    for kind in KINDS:
        with subtests.test(kind):
            me, content = uuid4(), picture(kind)
            mime_type = f"image/{kind.lower()}"
            text = base64.b64encode(content).decode()
            sent = {"base64Data": text, "mimeType": mime_type, "prompt": "dusk", "model": "mine"}

            plain = await gallery.call("POST", f"{UPLOAD}/base64", person(me), sent)
            url = await gallery.call(
                "POST",
                f"{UPLOAD}/base64",
                person(me),
                sent | {"base64Data": f"data:{mime_type};base64,{text}"},
            )
            file = await form(gallery, me, "file", ("a.bin", content, mime_type))
            face = await form(gallery, me, "profile-picture/upload", ("me.bin", content, mime_type))

            answers = [plain, url, file, face]
            assert [each.status_code for each in answers] == [200] * 4, [
                each.text for each in answers
            ]
            assert len({each.json()["publicUrl"] for each in answers}) == 4
            for each in answers:
                assert (await served(gallery, each.json()["publicUrl"])).content == content
            items = await listed(gallery, me)  # the face is no picture of the gallery
            assert items[0]["fileName"] == "a.bin"
            assert [(item["prompt"], item["model"]) for item in items[1:]] == [("dusk", "mine")] * 2


async def test_a_deleted_upload_takes_nobody_elses_equal_one_with_it(
    gallery: RunningGallery,
) -> None:
    one, two = uuid4(), uuid4()
    mine, theirs = [
        (await form(gallery, each, "file", ("a.png", picture(), "image/png"))).json()
        for each in (one, two)
    ]
    deleted = await gallery.call("DELETE", f"/api/r2files/{mine['id']}", person(one))
    assert deleted.status_code == 200
    assert (await served(gallery, mine["url"])).status_code == 404
    assert (await served(gallery, theirs["url"])).content == picture()


async def test_a_batch_keeps_what_can_be_kept(gallery: RunningGallery) -> None:
    me, text = uuid4(), base64.b64encode(picture()).decode()
    images = [
        {
            "base64Data": f"data:image/png;base64,{text}",
            "mimeType": "image/png",
            "originalUrl": "a",
        },
        {"base64Data": "no base64!", "mimeType": "image/png", "originalUrl": "b"},
        {"base64Data": text, "mimeType": "image/png", "originalUrl": "c"},
    ]
    answer = (
        await gallery.call("POST", f"{UPLOAD}/migrate-base64-batch", person(me), {"images": images})
    ).json()
    assert [each["originalUrl"] for each in answer["results"]] == ["a", "c"]
    assert [each["index"] for each in answer["errors"]] == [1]
    assert len(await listed(gallery, me)) == 2


def bomb() -> bytes:
    """A few bytes that say that they are 60,000 pixels wide."""
    content = bytearray(picture())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    return bytes(content)


HOSTILE = {
    "html": b"<html><script>alert(1)</script></html>" * 4,
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>" * 2,
    "script behind a signature": b"\x89PNG\r\n\x1a\n<script>alert(1)</script>" * 4,
    "empty": b"",
    "cut off": picture()[:-20],
    "bomb": bomb(),
    "executable": b"MZ" + bytes(200),
    "zip": b"PK\x03\x04" + bytes(200),
    "pdf": b"%PDF-1.7 " + bytes(200),
}


async def test_hostile_content_is_refused_by_every_way_and_leaves_nothing(
    gallery: RunningGallery,
) -> None:
    me = uuid4()
    before = await objects(gallery)
    for name, content in HOSTILE.items():
        given = await address(gallery, me)
        text = base64.b64encode(content).decode()
        answers = [
            await put(gallery, given["uploadUrl"], content),
            await gallery.call("POST", f"{UPLOAD}/base64", person(me), {"base64Data": text}),
            await form(gallery, me, "file", ("a.png", content, "image/png")),
        ]
        assert {(each.status_code, each.json()["code"]) for each in answers} == {
            (400, "bad_upload")
        }, name
        assert (await served(gallery, given["publicUrl"])).status_code == 404
    assert await listed(gallery, me) == []
    assert await objects(gallery) == before


async def test_what_is_hidden_in_a_picture_is_not_kept(gallery: RunningGallery) -> None:
    me = uuid4()
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "<script>alert(1)</script>")
    content = picture(pnginfo=note) + b"PK\x03\x04 a zip behind the picture"
    taken = (await form(gallery, me, "file", ("a.png", content, "image/png"))).json()
    kept = (await served(gallery, taken["url"])).content
    assert kept == picture()


TRICKS: Final[list[dict[str, str]]] = [
    {"fileName": "../../etc/passwd"},
    {"fileName": "a/b.png"},
    {"fileName": "a\\b.png"},
    {"fileName": "a\0.png"},
    {"fileName": ".."},
    {"fileName": "x" * 201},
    {"folder": "../other"},
    {"folder": "/abs"},
    {"contentType": "text/html"},
    {"contentType": "image/svg+xml"},
    {"contentType": "application/octet-stream"},
]


async def test_no_address_is_given_for_tricks(
    gallery: RunningGallery, subtests: pytest.Subtests
) -> None:
    for change in TRICKS:
        with subtests.test(str(change)[:80]):
            sent = {"fileName": "a.png", "contentType": "image/png", "folder": ""} | change
            answer = await gallery.call("POST", f"{UPLOAD}/presigned", person(uuid4()), sent)
            assert answer.status_code == 400
            assert isinstance(answer.json()["error"], str)


async def test_an_address_is_good_for_what_it_was_given_for(gallery: RunningGallery) -> None:
    me = uuid4()
    given = await address(gallery, me, "image/png")
    other_type = await put(gallery, given["uploadUrl"], picture("JPEG"))
    assert (other_type.status_code, other_type.json()["code"]) == (400, "bad_upload")
    url = (await address(gallery, me))["uploadUrl"]
    token = url.rpartition("/")[2]
    for forged in (token[:-2], "A" + token[1:], "x", "~", "A" * 5000):
        answer = await put(gallery, f"{UPLOAD}/put/{forged}", picture())
        assert (answer.status_code, answer.json()["code"]) == (403, "upload_address_refused")
    nobody = await gallery.call("POST", f"{UPLOAD}/base64", None, {"base64Data": ""})
    assert nobody.status_code == 401


async def large_jpeg(size: int) -> AsyncIterator[bytes]:
    """A picture that is mostly scan, as long as wanted, in small chunks."""
    head, end = picture("JPEG", 64), b"\xff\xd9"
    yield head[:-2]
    filler = bytes(64 * 1024)
    left = size - len(head)
    while left > 0:
        yield filler[:left]
        left -= len(filler)
    yield end


async def test_fifty_megabytes_hold_no_more_than_ten_of_memory(gallery: RunningGallery) -> None:
    me = uuid4()
    given = await address(gallery, me, "image/jpeg")
    tracemalloc.start()
    try:
        taken = await put(gallery, given["uploadUrl"], large_jpeg(UPLOAD_BYTES_MAX), "image/jpeg")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken.status_code == 200, taken.text
    (item,) = await listed(gallery, me)
    assert item["fileSize"] == UPLOAD_BYTES_MAX
    assert peak_bytes < 10_000_000, peak_bytes


async def test_one_byte_more_than_allowed_is_refused_and_not_kept(gallery: RunningGallery) -> None:
    me, before = uuid4(), await objects(gallery)
    given = await address(gallery, me, "image/jpeg")
    answer = await put(gallery, given["uploadUrl"], large_jpeg(UPLOAD_BYTES_MAX + 1), "image/jpeg")
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert await objects(gallery) == before
    assert await listed(gallery, me) == []

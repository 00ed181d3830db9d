"""Assets over HTTP: whole, in part, not again, and not at all."""

from datetime import datetime, timedelta
from random import Random
from typing import Final
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import pytest

from libs.events.generation import GenerationCompleted, StoredImage
from libs.events.testing import completed, event, stored_image
from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.clock import SystemClock
from services.gallery.tests.integration.conftest import PUBLIC_BASE_URL, SECRET, RunningGallery
from services.gallery.tests.integration.support import confirmed, person, until_listed

CONTENT = Random(7).randbytes(300_000)


@pytest.fixture
async def image(gallery: RunningGallery) -> StoredImage:
    """A picture that is stored and listed."""
    stored = await gallery.store(CONTENT, "image/webp")
    await gallery.tell(event(completed(images=(stored,))))
    await confirmed(gallery, 1)
    return stored


async def get(gallery: RunningGallery, image: StoredImage, **headers: str) -> httpx2.Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gallery.client.get(gallery.path(image.key), headers=fields)


async def test_an_asset_is_streamed_with_its_own_type_and_kept_for_ever(
    gallery: RunningGallery, image: StoredImage
) -> None:
    answer = await get(gallery, image)

    assert answer.status_code == 200
    assert answer.content == CONTENT
    expected = {
        "content-type": "image/webp",
        "content-length": str(len(CONTENT)),
        "etag": f'"{image.sha256}"',
        "cache-control": "private, max-age=31536000, immutable",
        "cdn-cache-control": "no-store",
        "accept-ranges": "bytes",
        "access-control-allow-origin": "*",
        "x-content-type-options": "nosniff",
    }
    assert {name: answer.headers[name] for name in expected} == expected


async def test_a_head_tells_all_but_the_content(
    gallery: RunningGallery, image: StoredImage
) -> None:
    whole = await get(gallery, image)
    head = await gallery.client.head(gallery.path(image.key), headers={"Range": "bytes=0-1"})
    own = {"x-request-id", "date"}
    assert head.status_code == 200
    assert head.content == b""
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in whole.headers.items() if k not in own
    }


PARTS: Final[list[tuple[str, int, int]]] = [
    ("bytes=0-0", 0, 0),
    ("bytes=100-200000", 100, 200_000),
    ("bytes=299999-", 299_999, 299_999),
    ("bytes=-5", 299_995, 299_999),
    ("bytes=299000-900000", 299_000, 299_999),
]


async def test_a_range_is_answered_with_that_part(
    gallery: RunningGallery, image: StoredImage, subtests: pytest.Subtests
) -> None:
    for asked, first, last in PARTS:
        with subtests.test(asked):
            answer = await get(gallery, image, Range=asked)
            assert answer.status_code == 206
            assert answer.content == CONTENT[first : last + 1]
            assert answer.headers["content-range"] == f"bytes {first}-{last}/300000"
            assert answer.headers["content-length"] == str(last - first + 1)
            assert answer.headers["content-type"] == "image/webp"


NOT_ONE_RANGE: Final[list[str]] = ["bytes=0-1,5-6", "pages=1-2", "bytes=9-1", "nonsense"]


async def test_a_range_that_is_not_one_range_of_bytes_gets_the_whole(
    gallery: RunningGallery, image: StoredImage, subtests: pytest.Subtests
) -> None:
    for asked in NOT_ONE_RANGE:
        with subtests.test(asked):
            answer = await get(gallery, image, Range=asked)
            assert answer.status_code == 200
            assert answer.content == CONTENT


async def test_a_range_behind_the_end_is_refused_with_the_size(
    gallery: RunningGallery, image: StoredImage
) -> None:
    answer = await get(gallery, image, Range="bytes=300000-")
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */300000"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json()["code"] == "range_not_satisfiable"


async def test_what_a_client_holds_is_not_sent_again(
    gallery: RunningGallery, image: StoredImage
) -> None:
    tag = f'"{image.sha256}"'
    again = await get(gallery, image, If_None_Match=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert "immutable" in again.headers["cache-control"]
    head = await gallery.client.head(gallery.path(image.key), headers={"If-None-Match": tag})
    assert head.status_code == 304
    assert (await get(gallery, image, If_None_Match='"other"')).content == CONTENT


async def test_a_continued_download_goes_on_only_with_the_same_content(
    gallery: RunningGallery, image: StoredImage
) -> None:
    tag = f'"{image.sha256}"'
    same = await get(gallery, image, Range="bytes=299990-", If_Range=tag)
    other = await get(gallery, image, Range="bytes=299990-", If_Range='"other"')
    assert (same.status_code, same.content) == (206, CONTENT[299_990:])
    assert (other.status_code, other.content) == (200, CONTENT)


async def test_only_what_a_picture_shows_is_served(gallery: RunningGallery) -> None:
    loser = await gallery.store(b"of an attempt that lost")
    keys = [loser.key, "", "%00", "a%00b", "../etc/passwd", "%2e%2e/%2e%2e", "data:image/png,x"]
    for key in keys:
        for method in ("GET", "HEAD"):
            answer = await gallery.client.request(method, f"/assets/{key}")
            assert answer.status_code == 404, key
            assert "immutable" not in answer.headers.get("cache-control", "")


async def test_an_object_that_storage_has_lost_is_not_found(gallery: RunningGallery) -> None:
    lost = stored_image(b"never stored")
    await gallery.tell(event(completed(images=(lost,))))
    await confirmed(gallery, 1)
    answer = await get(gallery, lost)
    assert answer.status_code == 404
    assert answer.json()["code"] == "object_not_found"
    assert "cache-control" not in answer.headers


async def test_an_object_of_another_length_is_not_passed_off_as_the_asset(
    gallery: RunningGallery,
) -> None:
    image = await gallery.store(b"as delivered")
    await gallery.bucket.put(image.key, b"cut", content_type="image/png")
    await gallery.tell(event(completed(images=(image,))))
    await confirmed(gallery, 1)
    answer = await get(gallery, image)
    assert answer.status_code == 503
    assert answer.json()["code"] == "storage_unavailable"


async def test_without_storage_lists_go_on_and_assets_say_try_again(
    gallery_without_storage: RunningGallery,
) -> None:
    gallery = gallery_without_storage
    image = await gallery.store(CONTENT)
    await gallery.tell(event(completed(images=(image,))))
    await confirmed(gallery, 1)

    answer = await get(gallery, image)
    held = await get(gallery, image, If_None_Match=f'"{image.sha256}"')

    assert answer.status_code == 503
    assert answer.json()["code"] == "storage_unavailable"
    assert "immutable" not in answer.headers.get("cache-control", "")
    assert held.status_code == 304
    assert (await gallery.client.get("/health/ready")).status_code == 200


ELSEWHERE: Final[list[str]] = [
    "https://elsewhere.example/a.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:9000/daygen/attempts/a/1.png",
    "http://[::ffff:10.0.0.1]/a.png",
    "https://daygen.example@elsewhere.example/assets/a.png",
    "https://daygen.example.elsewhere.example/assets/a.png",
    "//elsewhere.example/assets/a.png",
    "file:///etc/passwd",
    "gopher://daygen.example/assets/a.png",
    "https://[/assets/a.png",
    "https://daygen.example/other/a.png",
]


async def test_the_proxy_serves_nothing_but_what_is_ours(
    gallery: RunningGallery, subtests: pytest.Subtests
) -> None:
    for url in ELSEWHERE:
        with subtests.test(url):
            path = f"/api/r2files/proxy?{urlencode({'url': url})}"
            answer = await gallery.get(path, person(uuid4()))
            assert (answer.status_code, answer.json()["code"]) == (403, "address_outside")
            assert (await gallery.client.get(path)).status_code == 401


async def test_the_proxy_serves_an_asset_by_its_whole_address(gallery: RunningGallery) -> None:
    image = await gallery.store(b"of ours")
    told = event(completed(images=(image,)))
    await gallery.tell(told)
    await until_listed(gallery, [told])
    me = person(uuid4())
    query = urlencode({"url": f"{PUBLIC_BASE_URL}{gallery.path(image.key)}"})
    answer = await gallery.get(f"/api/r2files/proxy?{query}", me)
    assert (answer.status_code, answer.content) == (200, b"of ours")
    assert "immutable" in answer.headers["cache-control"]
    plain = urlencode({"url": f"{PUBLIC_BASE_URL}/assets/{image.key}"})
    assert (await gallery.get(f"/api/r2files/proxy?{plain}", me)).status_code == 404
    assert isinstance(told.data, GenerationCompleted)
    owner = person(told.data.request.user_id)
    assert (await gallery.get(f"/api/r2files/proxy?{plain}", owner)).status_code == 200
    query = urlencode({"url": f"{PUBLIC_BASE_URL}/assets/attempts/../secret"})
    assert (await gallery.get(f"/api/r2files/proxy?{query}", me)).status_code == 404


class AMonthAgo(SystemClock):
    def now(self) -> datetime:
        return super().now() - timedelta(days=30)


async def test_a_private_picture_is_served_by_a_good_address_alone(
    gallery: RunningGallery, image: StoredImage
) -> None:
    other = await gallery.store(b"another")
    _, _, good = gallery.signer.signed(image.key).partition("?")
    _, _, foreign = gallery.signer.signed(other.key).partition("?")
    forger = AssetSigner([b"x" * 32], SystemClock(), timedelta(days=7))
    _, _, forged = forger.signed(image.key).partition("?")
    own = [SECRET.get_secret_value().encode()]
    earlier = AssetSigner(own, AMonthAgo(), timedelta(days=7))
    _, _, old = earlier.signed(image.key).partition("?")
    expires = good.partition("&")[0]
    longer = good.replace(expires, "expires=999999999999")
    nothing = ("", "expires=", f"{expires}&signature=", "signature=x", "expires=x&signature=%FF")
    for query in (*nothing, foreign, forged, longer, good[:-1]):
        for method in ("GET", "HEAD"):
            answer = await gallery.client.request(method, f"/assets/{image.key}?{query}")
            assert answer.status_code == 404, query
            assert answer.headers["access-control-allow-origin"] == "*"
    expired = await gallery.client.get(f"/assets/{image.key}?{old}")
    assert (expired.status_code, expired.json()["code"]) == (403, "asset_address_expired")
    assert (await gallery.client.get(f"/assets/{image.key}?{good}")).content == CONTENT


async def test_making_a_picture_public_or_private_changes_what_is_served(
    gallery: RunningGallery,
) -> None:
    image = await gallery.store(b"seen")
    told = event(completed(images=(image,)))
    await gallery.tell(told)
    await until_listed(gallery, [told])
    assert isinstance(told.data, GenerationCompleted)
    owner = person(told.data.request.user_id)
    (item,) = (await gallery.get("/api/r2files", owner)).json()["items"]
    plain = f"{PUBLIC_BASE_URL}/assets/{image.key}"
    statuses, addresses, kept = [], [], []
    for is_public in (None, True, False, True):
        if is_public is not None:
            path = f"/api/r2files/{item['id']}"
            answer = await gallery.call("PATCH", path, owner, {"isPublic": is_public})
            item = answer.json()
        answer = await gallery.client.get(f"/assets/{image.key}")
        statuses.append(answer.status_code)
        kept.append(answer.headers.get("cache-control", "").partition(",")[0])
        addresses.append(item["fileUrl"] == plain)
        shown = await gallery.client.get(item["fileUrl"].removeprefix(PUBLIC_BASE_URL))
        assert shown.content == b"seen"
    assert statuses == [404, 200, 404, 200]
    assert addresses == [False, True, False, True]
    assert (kept[1], kept[3]) == ("public", "public")

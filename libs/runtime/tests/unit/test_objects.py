"""The object store in memory keeps the contract, and ranges are read from headers."""

import pytest

from libs.runtime.objects import ByteRange, ObjectStore, StorageUnavailable
from libs.runtime.objects_s3 import PART_BYTES, _Metered
from libs.runtime.testing_objects import InMemoryObjectStore
from libs.runtime.tests.object_store_contract import ObjectStoreContract, in_chunks


class TestInMemoryStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return InMemoryObjectStore()

    @pytest.fixture
    def prefix(self) -> str:
        return "contract/"


async def test_a_store_that_is_down_refuses_everything() -> None:
    store = InMemoryObjectStore()
    store.is_down = True
    with pytest.raises(StorageUnavailable):
        await store.check()
    with pytest.raises(StorageUnavailable):
        await store.put("a", b"x", content_type="image/png")
    with pytest.raises(StorageUnavailable):
        await store.head("a")
    with pytest.raises(StorageUnavailable):
        await store.delete(["a"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-3", ByteRange(0, 3)),
        ("bytes=4-", ByteRange(4)),
        ("bytes=-5", ByteRange(-5)),
        (None, None),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=-0", None),
        ("bytes=3-1", None),
        ("bytes=0-1,4-5", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-9999999999999999999999", None),
    ],
)
def test_a_range_header_is_read_or_ignored(header: str | None, expected: ByteRange | None) -> None:
    assert ByteRange.parse(header) == expected


@pytest.mark.parametrize("header", ["bytes=0-3", "bytes=4-", "bytes=-5"])
def test_a_range_is_written_as_it_was_read(header: str) -> None:
    byte_range = ByteRange.parse(header)
    assert byte_range is not None
    assert byte_range.header() == header


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, [0]),
        (PART_BYTES, [PART_BYTES]),
        (PART_BYTES + 1, [PART_BYTES, 1]),
        (2 * PART_BYTES, [PART_BYTES, PART_BYTES]),
    ],
)
@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_body_is_cut_into_equal_parts_and_never_an_empty_last_one(
    size: int, sizes: list[int], is_streamed: bool
) -> None:
    content = b"x" * size
    metered = _Metered(in_chunks(content, 1_000_003) if is_streamed else content, None)
    assert [len(part) async for part in metered.parts()] == sizes
    assert metered.size_bytes == size

"""How a body is cut for S3."""

import pytest

from libs.runtime.objects_s3 import PART_BYTES, _Metered
from libs.runtime.tests.support import in_chunks


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
    assert [len(part.getvalue()) async for part in metered.parts()] == sizes
    assert metered.size_bytes == size

"""Pictures in JSON: read without being held."""

import base64
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.runtime.carriers import (
    SKELETON_BYTES_MAX,
    STEP_BYTES,
    Carrier,
    JsonReader,
    UnreadableError,
    decoded,
)

PICTURE = Random(1).randbytes(300_001)


def read(text: bytes, step: int = 1_000) -> Any:
    reader = JsonReader()
    for place in range(0, len(text), step):
        reader.feed(text[place : place + step])
    return reader.close()


async def whole(value: object) -> bytes:
    return b"".join([chunk async for chunk in decoded(value)])


@pytest.mark.parametrize("step", [1, 7, 4_096, 10**9])
async def test_long_strings_are_carried_and_the_rest_is_read(step: int) -> None:
    body = {"data": [{"b64_json": base64.b64encode(PICTURE).decode()}], "n": 1, 'é"\\': "kurz\n"}
    value = read(json.dumps(body).encode(), step)
    carrier = value["data"][0].pop("b64_json")
    assert isinstance(carrier, Carrier)
    assert await whole(carrier) == PICTURE
    assert value == {"data": [{}], "n": 1, 'é"\\': "kurz\n"}


@pytest.mark.parametrize("escape", ["\\/", "\\u002f"])
async def test_escapes_in_a_picture_are_undone_wherever_they_are_cut(escape: str) -> None:
    text = base64.b64encode(PICTURE).decode().replace("/", escape).replace("=", "\\u003d")
    value = read(f'{{"image":"{text}"}}'.encode(), 997)
    assert await whole(value["image"]) == PICTURE


async def test_a_data_url_and_a_short_string_are_pictures_too() -> None:
    text = base64.b64encode(PICTURE[:10]).decode()
    assert await whole(text) == PICTURE[:10]
    long = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    assert await whole(read(json.dumps([long]).encode())[0]) == PICTURE


@pytest.mark.parametrize("value", ["not base64!", "abc", None, 5, {"a": 1}])
async def test_what_is_no_base64_is_refused(value: object) -> None:
    with pytest.raises(UnreadableError):
        await whole(value if value != "abc" else "a")


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": "', b"<html>", b'{"a": 1} x', b'["\\q"]'])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(text)


def test_a_cut_off_picture_is_no_json() -> None:
    text = json.dumps({"data": base64.b64encode(PICTURE).decode()}).encode()
    with pytest.raises(UnreadableError):
        read(text[: len(text) // 2])


def test_a_skeleton_without_end_is_refused() -> None:
    with pytest.raises(UnreadableError):
        read(b"[" + b"1," * (SKELETON_BYTES_MAX // 2) + b"1]", 65_536)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(JSON, st.integers(1, 50), st.booleans())
def test_any_json_without_long_strings_is_read_as_it_is(
    value: Any, step: int, ascii_only: bool
) -> None:
    assert read(json.dumps(value, ensure_ascii=ascii_only).encode(), step) == value


ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60)


@settings(deadline=None, max_examples=20)
@given(ASCII, st.booleans())
def test_any_long_ascii_string_comes_back_piece_by_piece(part: str, escapes_all: bool) -> None:
    text = part * (2 * STEP_BYTES // len(part) + 1)
    encoded = json.dumps(text).encode()
    if escapes_all:
        encoded = b'"' + b"".join(b"\\u%04x" % ord(each) for each in text) + b'"'
    value = read(b"[" + encoded + b"]", 50_001)[0]
    assert isinstance(value, Carrier)
    assert b"".join(value.pieces()).decode() == text


async def test_a_long_text_in_other_letters_is_no_picture() -> None:
    (value,) = read(json.dumps(["ö" * 20_000]).encode())
    with pytest.raises(UnreadableError):
        await whole(value)
    (value,) = read(json.dumps(["ö" * 20_000], ensure_ascii=False).encode())
    with pytest.raises(UnreadableError):
        await whole(value)

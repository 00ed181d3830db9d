"""What a delivered picture becomes in the gallery."""

from uuid import UUID, uuid4

import pytest

from libs.events.testing import completed, event, request_facts, stored_image
from services.gallery.domain import pictures

JOB = UUID("0192f3a4-0000-7000-8000-000000000001")


def test_a_picture_keeps_its_id_for_ever() -> None:
    """Published and linked to: another id after a rebuild would break both."""
    assert pictures.item_id(JOB, 0) == UUID("0aa87f8e-8967-5efa-ac0c-1e70fe6c7079")
    assert pictures.item_id(JOB, 1) == UUID("58d53dc3-62e4-5f8b-b6ac-bcd6d4ed5f6a")


def test_a_job_becomes_one_item_and_one_asset_per_picture() -> None:
    request = request_facts(units=2, workspace_id=uuid4(), account_id=uuid4(), model="as sent")
    data = completed(request)
    told = event(data)

    items = pictures.items(told, data)
    assets = pictures.assets(told, data)

    assert tuple(item.id for item in items) == pictures.item_ids(data)
    assert [item.asset_key for item in items] == [asset.key for asset in assets]
    assert [item.picture_index for item in items] == [0, 1]
    for item in items:
        assert item.user_id == request.user_id
        assert item.account_id == request.account_id
        assert item.workspace_id == request.workspace_id
        assert item.job_id == request.job_id
        assert item.file_name.startswith(f"daygen-{request.job_id}-")
        assert (item.operation, item.provider) == (request.operation, request.provider)
        assert (item.model, item.prompt) == ("as sent", request.prompt)
        assert item.created_at == item.updated_at == told.time
    assert pictures.confirmation(told, data).items == 2


def test_an_answer_in_words_is_confirmed_without_items() -> None:
    data = completed(images=(), texts=("A lighthouse.",), delivered_units=1)
    told = event(data)
    assert pictures.items(told, data) == []
    assert pictures.assets(told, data) == []
    assert pictures.confirmation(told, data).items == 0


def test_a_file_is_named_after_job_place_and_type() -> None:
    names = [
        pictures.file_name(JOB, 0, stored_image(content_type=content_type).content_type)
        for content_type in ("image/png", "image/jpeg", "video/mp4", "image/x-unheard-of")
    ]
    assert names == [f"daygen-{JOB}-1.{extension}" for extension in ("png", "jpg", "mp4", "bin")]


@pytest.mark.parametrize("key", ["attempts/1/1.png", "a", "x" * 1024, "b\u00e4r.png", "a b.png"])
def test_a_key_names_an_object(key: str) -> None:
    assert pictures.is_key(key)


@pytest.mark.parametrize(
    "key", ["", "/a", "data:image/png;base64,AA", "https://a/b", "a\x00b", "a\nb", "x" * 1025]
)
def test_what_cannot_be_a_key_is_not_looked_for(key: str) -> None:
    assert not pictures.is_key(key)

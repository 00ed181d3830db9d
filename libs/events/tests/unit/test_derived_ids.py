"""Derived ids are those of the standard."""

from uuid import UUID, uuid4, uuid5

import pytest

from libs.events.derived_ids import derived_id


@pytest.mark.parametrize("name", ["", "usage", "picture/0", "reserve:Ω"])
def test_an_id_is_the_one_that_the_standard_library_derives(name: str) -> None:
    for namespace in (UUID(int=0), UUID(int=2**128 - 1), *(uuid4() for _ in range(50))):
        found = derived_id(namespace, name)
        assert found == uuid5(namespace, name)
        assert (found.version, found.variant) == (5, "specified in RFC 4122")

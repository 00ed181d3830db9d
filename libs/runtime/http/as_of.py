"""Reading what was: a route's `asOf`, an instant that has been."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, TypeAlias

from fastapi import Query
from pydantic import AwareDatetime

from libs.runtime.clock import Clock
from libs.runtime.errors import BadRequest

Given: TypeAlias = Annotated[
    AwareDatetime | None, Query(alias="asOf", description="As it stood then: ISO 8601.")
]
AsOf: TypeAlias = Callable[[Given], Awaitable[datetime | None]]
"""A dependency that answers the instant; None asks for now."""


class AsOfFuture(BadRequest):
    code = "as_of_in_the_future"

    def __init__(self) -> None:
        super().__init__("Nobody knows the future yet: give `asOf` a time that has been.")


def past_by(clock: Clock) -> AsOf:
    """The dependency by this clock. What is no time with a zone is refused as any bad parameter."""

    async def as_of(given: Given = None) -> datetime | None:
        if given is not None and given > clock.now():
            raise AsOfFuture
        return given

    return as_of

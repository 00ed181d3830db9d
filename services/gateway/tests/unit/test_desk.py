"""What a waiting client is told once there is a job: its id, and never to come again."""

from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from libs.events.names import Service
from libs.runtime.auth import Principal
from libs.runtime.db import DatabaseUnavailable
from libs.runtime.errors import DomainError, Kind
from services.gateway.api.generations import Desk
from services.gateway.domain.jobs import Status
from services.gateway.handlers.decisions import Accepted
from services.gateway.handlers.errors import Flooded, JobNotFound, OwnerUnavailable

JOB = uuid4()
CALLER = Principal(user_id=uuid4(), account_id=uuid4(), role="USER")


class Failing:
    """Generations whose wait ends with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def completed(self, job_id: UUID, user_id: UUID, *, patience: timedelta) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        OwnerUnavailable(Service.GALLERY),
        Flooded(1.0),
        DatabaseUnavailable(),
        TypeError("a bug"),
        JobNotFound(),
    ],
)
async def test_no_error_of_a_job_asks_for_another_order(error: Exception) -> None:
    desk = Desk(
        generations=cast(Any, Failing(error)),
        inputs=cast(Any, None),
        owners=cast(Any, None),
        views=cast(Any, None),
        patience=timedelta(0),
        retired={},
        endpoints=cast(Any, None),
    )

    async def shown(job: Any) -> Any:
        raise AssertionError(job)

    with pytest.raises(DomainError) as caught:
        await desk.finish(CALLER, Accepted(job_id=JOB, status=Status.PENDING), None, shown)
    assert caught.value.details["jobId"] == str(JOB)
    assert caught.value.kind not in {Kind.UNAVAILABLE, Kind.TOO_MANY_REQUESTS}

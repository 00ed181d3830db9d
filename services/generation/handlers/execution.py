"""Runs one attempt: calls the provider, stores what it delivers, and says what came of it."""

import asyncio
from collections.abc import Mapping

import structlog
from msgspec import Struct

from libs.events.generation import FailureCode, StoredImage
from libs.runtime.clock import Clock
from libs.runtime.objects import ObjectStore, StorageUnavailable
from services.generation.domain.capabilities import DEADLINE, Failure
from services.generation.domain.jobs import Claim, Delivery, Spent
from services.generation.handlers.results import store_picture
from services.generation.ports import Provider, ProviderError, ProviderRequest, ProviderResult

FAULT = Failure(code=FailureCode.SERVER, message="The provider failed: try it again.")
NOTHING = Failure(
    code=FailureCode.BAD_OUTPUT, message="The provider answered without a picture: try it again."
)
logger = structlog.get_logger(__name__)


class ProviderFailed(Struct, frozen=True, kw_only=True):
    """The provider said no, or nothing that we can use."""

    failure: Failure
    spent: Spent


class StorageFailed(Struct, frozen=True, kw_only=True):
    """The provider delivered, our own storage did not take it."""

    spent: Spent


Outcome = Delivery | ProviderFailed | StorageFailed


class Execution:
    """Attempts as far as providers and storage go; the database is none of its business."""

    def __init__(
        self, providers: Mapping[str, Provider], objects: ObjectStore, clock: Clock
    ) -> None:
        self._providers = providers
        self._objects = objects
        self._clock = clock

    async def run(self, claim: Claim) -> Outcome:
        """Call the provider and store what it delivers; the job's deadline cuts it short."""
        provider = self._providers[claim.request.provider]
        started = self._clock.monotonic()
        left = claim.request.deadline_at - self._clock.now()
        limit = asyncio.timeout(max(0.0, left.total_seconds()))
        spent: Spent | None = None
        try:
            async with limit:
                result = await provider.generate(_request(claim))
                spent = Spent(
                    provider_ms=self._elapsed_ms(started),
                    provider_cost_microusd=result.cost_microusd,
                    provider_cost_source=result.cost_source,
                )
                return await self._deliver(claim, result, spent)
        except StorageUnavailable:
            return StorageFailed(spent=spent or Spent())
        except ProviderError as error:
            logger.info("provider_failed", error_code=error.failure.code, detail=error.detail)
            failure, cost_microusd = error.failure, error.cost_microusd
        except TimeoutError:
            failure, cost_microusd = (DEADLINE if limit.expired() else FAULT), 0
        except Exception:
            logger.exception("provider_broken")
            failure, cost_microusd = FAULT, 0
        spent = spent or Spent(
            provider_ms=self._elapsed_ms(started), provider_cost_microusd=cost_microusd
        )
        return ProviderFailed(failure=failure, spent=spent)

    async def _deliver(self, claim: Claim, result: ProviderResult, spent: Spent) -> Outcome:
        started = self._clock.monotonic()
        images: list[StoredImage] = []
        for number, stream in enumerate(result.pictures, start=1):
            images.append(
                await store_picture(self._objects, claim.job_id, claim.attempt_id, number, stream)
            )
        if not images and not result.texts:
            return ProviderFailed(failure=NOTHING, spent=spent)
        return Delivery(
            images=tuple(images),
            texts=result.texts,
            seed=result.seed,
            upload_ms=self._elapsed_ms(started),
            input_tokens=result.input_tokens,
            output_tokens=result.output_tokens,
            spent=spent,
        )

    def _elapsed_ms(self, since: float) -> int:
        return round((self._clock.monotonic() - since) * 1000)


def _request(claim: Claim) -> ProviderRequest:
    request = claim.request
    return ProviderRequest(
        job_id=claim.job_id,
        attempt_id=claim.attempt_id,
        operation=request.operation,
        model=request.model,
        prompt=request.prompt,
        options=request.options,
        input_keys=request.input_keys,
        units=request.units,
        deadline_at=request.deadline_at,
    )

"""Runs one attempt: calls the provider, stores what it delivers, and says what came of it."""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext

import structlog
from msgspec import structs

from libs.events.generation import CostSource, FailureCode, StoredImage
from libs.runtime.clock import Clock
from libs.runtime.objects import ObjectStore, StorageUnavailable
from libs.runtime.tracing import Traceparent, tracing
from services.generation.domain.capabilities import DEADLINE, Failure
from services.generation.domain.jobs import Claim, Delivery, Spent
from services.generation.domain.outcomes import Outcome, ProviderFailed, StorageFailed
from services.generation.domain.references import noting
from services.generation.handlers.budget import ByteBudget
from services.generation.handlers.following import Following
from services.generation.handlers.inputs import open_inputs
from services.generation.handlers.results import store_picture
from services.generation.ports import (
    AnyProvider,
    Input,
    PollingProvider,
    ProviderError,
    ProviderRequest,
    ProviderResult,
)

FAULT = Failure(code=FailureCode.SERVER, message="The provider failed: try it again.")
NOTHING = Failure(
    code=FailureCode.BAD_OUTPUT, message="The provider answered without a picture: try it again."
)
DETAIL_CHARS_MAX = 2_000
# What one upload may hold: a part that is sent, the one after it, and the copy between them.
UPLOAD_BYTES = 24 * 1024 * 1024

logger = structlog.get_logger(__name__)


class Execution:
    """Attempts as far as providers and storage go; the database is none of its business."""

    def __init__(
        self,
        providers: Mapping[str, AnyProvider],
        following: Following,
        objects: ObjectStore,
        budget: ByteBudget,
        clock: Clock,
    ) -> None:
        self._providers = providers
        self._following = following
        self._objects = objects
        self._budget = budget
        self._clock = clock

    async def run(self, claim: Claim) -> Outcome:
        """Call the provider and store what it delivers; the job's deadline cuts it short."""
        trace = Traceparent.parse(claim.requested.traceparent)
        with nullcontext() if trace is None else tracing(trace), noting() as references:
            outcome = await self._run(claim)
            spent = structs.replace(outcome.spent, references=tuple(references))
            return structs.replace(outcome, spent=spent)

    async def _run(self, claim: Claim) -> Outcome:
        provider = self._providers[claim.request.provider]
        started = self._clock.monotonic()
        left = claim.request.deadline_at - self._clock.now()
        limit = asyncio.timeout(max(0.0, left.total_seconds()))
        spent: Spent | None = None
        is_asked = False
        try:
            async with limit:
                inputs = await open_inputs(self._objects, claim.request, provider.capabilities)
                is_asked = True
                result = await self._ask(provider, claim, inputs)
                spent = Spent(
                    provider_ms=self._elapsed_ms(started),
                    provider_cost_microusd=result.cost_microusd,
                    provider_cost_source=result.cost_source,
                )
                return await self._deliver(claim, result, spent)
        except StorageUnavailable:
            return StorageFailed(spent=spent or Spent(), is_asked=is_asked)
        except ProviderError as error:
            logger.info("provider_failed", error_code=error.failure.code, detail=error.detail)
            # A result that could not be fetched can be fetched again, if it lies at the provider's.
            lies_there = spent is not None and error.is_transient
            goes_on = lies_there and isinstance(provider, PollingProvider)
            return ProviderFailed(
                failure=error.failure,
                spent=self._spent(started) if goes_on else spent or self._spent(started, error),
                detail=error.detail[:DETAIL_CHARS_MAX],
                rest_seconds=error.rest_seconds,
                goes_on=goes_on,
            )
        except TimeoutError:
            failure = DEADLINE if limit.expired() else FAULT
        except Exception:
            logger.exception("provider_broken")
            failure = FAULT
        return ProviderFailed(
            failure=failure,
            spent=spent or self._spent(started),
            goes_on=isinstance(provider, PollingProvider),
        )

    async def _ask(
        self, provider: AnyProvider, claim: Claim, inputs: tuple[Input, ...]
    ) -> ProviderResult:
        request = request_of(claim, inputs)
        if isinstance(provider, PollingProvider):
            return await self._following.result(provider, claim, request)
        return await provider.generate(request)

    async def close(self) -> None:
        """Leave nothing running."""
        await self._following.close()

    def _spent(self, since: float, error: ProviderError | None = None) -> Spent:
        return Spent(
            provider_ms=self._elapsed_ms(since),
            provider_cost_microusd=error.cost_microusd if error else 0,
            provider_cost_source=error.cost_source if error else CostSource.UNKNOWN,
        )

    async def _deliver(self, claim: Claim, result: ProviderResult, spent: Spent) -> Outcome:
        started = self._clock.monotonic()
        images: list[StoredImage] = []
        for number, stream in enumerate(result.pictures[: claim.request.units], start=1):
            async with self._budget.take(UPLOAD_BYTES):
                image = await store_picture(
                    self._objects, claim.job_id, claim.attempt_id, number, stream
                )
            images.append(image)
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


def request_of(claim: Claim, inputs: tuple[Input, ...] = ()) -> ProviderRequest:
    """What an adapter is asked for by a claim."""
    request = claim.request
    return ProviderRequest(
        job_id=claim.job_id,
        attempt_id=claim.attempt_id,
        operation=request.operation,
        model=request.model,
        prompt=request.prompt,
        options=request.options,
        inputs=inputs,
        units=request.units,
        deadline_at=request.deadline_at,
    )

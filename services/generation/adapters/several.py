"""Several pictures from a provider that makes one with a call."""

import asyncio
from collections.abc import Awaitable, Callable

from services.generation.ports import ProviderError, ProviderResult


async def several(units: int, one: Callable[[int], Awaitable[ProviderResult]]) -> ProviderResult:
    """Call once for each picture, side by side. Those that came are delivered.

    Raises:
        ProviderError: none came; the first refusal.
    """
    outcomes = await asyncio.gather(
        *(one(number) for number in range(units)), return_exceptions=True
    )
    results = [each for each in outcomes if isinstance(each, ProviderResult)]
    failures = [each for each in outcomes if isinstance(each, BaseException)]
    unexpected = next((each for each in failures if not isinstance(each, ProviderError)), None)
    if unexpected is not None:
        raise unexpected
    if not results:
        raise failures[0]
    return ProviderResult(
        pictures=[picture for each in results for picture in each.pictures],
        seed=results[0].seed,
        input_tokens=sum(each.input_tokens for each in results),
        output_tokens=sum(each.output_tokens for each in results),
        cost_microusd=sum(each.cost_microusd for each in results),
        cost_source=results[0].cost_source,
    )

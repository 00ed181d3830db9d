"""What the gateway admits, generation does: model by model, operation by operation."""

import pytest

from services.gateway.domain.catalogue import PROVIDERS
from services.generation.adapters.local import CAPABILITIES
from services.generation.domain.catalogue import CATALOGUE

OFFERED = {**CATALOGUE, CAPABILITIES.provider: CAPABILITIES}


def test_both_know_the_same_providers() -> None:
    assert set(PROVIDERS) == set(OFFERED)


@pytest.mark.parametrize("name", OFFERED)
def test_the_gateway_admits_no_more_than_the_provider_delivers(name: str) -> None:
    capabilities = OFFERED[name]
    for model, operations in PROVIDERS[name].models.items():
        found = capabilities.model(model)
        assert found is not None, model
        assert set(operations) == set(found.operations), model
        for operation, takes in operations.items():
            can = found.operations[operation]
            assert takes.units_max <= (can.units_max or capabilities.units_max), (model, operation)
            assert takes.inputs_min >= can.inputs_min, (model, operation)
            assert takes.inputs_max <= can.inputs_max, (model, operation)
            assert takes.masks_max <= can.masks_max, (model, operation)

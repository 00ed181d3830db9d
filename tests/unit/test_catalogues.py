"""What the gateway admits, generation's providers can do."""

from services.gateway.domain.catalogue import PROVIDERS
from services.generation.domain.catalogue import CATALOGUE


def test_the_gateway_admits_no_more_than_providers_deliver() -> None:
    for name, capabilities in CATALOGUE.items():
        for model, operations in PROVIDERS[name].models.items():
            for operation, takes in operations.items():
                if takes.inputs_min:
                    continue
                found = capabilities.model(model)
                assert found is not None, model
                assert operation in found.operations, (model, operation)
                assert takes.units_max <= capabilities.units_max, (model, operation)

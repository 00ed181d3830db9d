"""The one table of model ids, and what an operator changes in it."""

from pathlib import Path
from random import Random

import pytest

from libs.runtime.guard import ForbiddenAddressError, check_url
from services.generation.adapters.base import Adapter
from services.generation.adapters.doors import DOORS, SIMULATED_KEY, accesses
from services.generation.adapters.http.client import ProviderHttp
from services.generation.domain.capabilities import Changes
from services.generation.domain.catalogue import CATALOGUE


def test_every_provider_has_an_adapter_and_no_name_means_two_things() -> None:
    assert set(CATALOGUE) == set(DOORS)
    names = [
        name
        for each in CATALOGUE.values()
        for model in each.models
        for name in {model.id, *model.names}
    ]
    assert len(names) == len(set(names))
    for each in CATALOGUE.values():
        assert all(model.cost_microusd > 0 for model in each.models)


@pytest.mark.parametrize(
    ("provider", "name", "wire_id"),
    [
        ("flux", "flux-1.1", "flux-pro-1.1"),
        ("flux", "flux-e2", "flux-kontext-max"),
        ("openai", "chatgpt-image", "gpt-image-1.5"),
        ("gemini", "gemini-2.5-flash-image-preview", "gemini-3.1-flash-image"),
        ("runway", "runway-gen4", "gen4_image"),
        ("recraft", "recraft-v2", "recraftv2"),
        ("luma", "luma-photon-flash-1", "photon-flash-1"),
    ],
)
def test_what_clients_call_a_model(provider: str, name: str, wire_id: str) -> None:
    model = CATALOGUE[provider].model(name)
    assert model is not None
    assert model.id == wire_id


def test_an_operator_gives_a_name_another_id_and_another_cost() -> None:
    changes = Changes(
        model_ids={"chatgpt-image": "gpt-image-9", "flux-1.1": "not-mine"},
        costs_microusd={"gpt-image-2": 50_000, "chatgpt-image": 7},
    )
    changed = CATALOGUE["openai"].configured(changes)
    named = {name: changed.model(name) for name in ("chatgpt-image", "gpt-image-2")}
    assert {name: each and (each.id, each.cost_of("image")) for name, each in named.items()} == {
        "chatgpt-image": ("gpt-image-9", 7),
        "gpt-image-2": ("gpt-image-2", 50_000),
    }
    assert changed.model("gpt-image-1.5") == CATALOGUE["openai"].model("gpt-image-1.5")


def test_another_id_changes_nothing_of_how_a_model_is_called() -> None:
    changes = Changes(model_ids={"flux-kontext-pro": "flux-kontext-next", "flux-t2": "ultra-next"})
    changed = CATALOGUE["flux"].configured(changes)
    for name in changes.model_ids:
        new, old = changed.model(name), CATALOGUE["flux"].model(name)
        assert new is not None
        assert old is not None
        assert new.id == changes.model_ids[name]
        assert (new.way, new.by_ratio) == (old.way, old.by_ratio)
        assert new.by_ratio


def test_an_operator_sets_a_providers_limits() -> None:
    changed = CATALOGUE["flux"].configured(Changes(concurrency={"flux": 6}, per_minute={"flux": 9}))
    assert (changed.concurrency, changed.per_minute) == (6, 9)
    assert CATALOGUE["luma"].configured(Changes(concurrency={"flux": 6})) == CATALOGUE["luma"]


def test_a_key_leads_to_the_real_provider_and_none_to_the_simulator() -> None:
    found = accesses({"BFL_API_KEY": "k", "OPENAI_API_KEY": " "}, "http://127.0.0.1:9/")
    assert (found["flux"].base_url, found["flux"].key) == ("https://api.bfl.ai", "k")
    assert found["openai"].base_url == "http://127.0.0.1:9/openai/v1"
    assert found["openai"].key == SIMULATED_KEY
    assert set(accesses({"RUNWAY_API_KEY": "k"}, "")) == {"runway"}
    other = accesses({"REVE_API_TOKEN": "k", "REVE_API_HOST": "https://eu.example"}, "")
    assert other["reve"].base_url == "https://eu.example"


def test_the_example_environment_names_every_key_and_address() -> None:
    example = (Path(__file__).parents[4] / ".env.example").read_text()
    for door in DOORS.values():
        assert f"#{door.keys[0]}=" in example
        assert door.base_urls[0] in example


def test_an_operator_names_a_host_that_results_come_from() -> None:
    found = accesses({}, "http://127.0.0.1:9", result_hosts={"luma": ["new.example"]})
    http = ProviderHttp(random=Random(1))
    made = {name: DOORS[name].make(http, found[name], CATALOGUE[name]) for name in found}
    allowed = {name: each._wire.allowed for name, each in made.items() if isinstance(each, Adapter)}
    url = "https://storage.new.example/1.png"
    assert str(check_url(url, allowed["luma"], allows_loopback=False)) == url
    assert check_url("https://x.lumalabs.ai/1", allowed["luma"], allows_loopback=False)
    with pytest.raises(ForbiddenAddressError):
        check_url(url, allowed["flux"], allows_loopback=False)


def test_real_providers_call_over_https_alone() -> None:
    secret = {"BFL_WEBHOOK_SECRET": "s"}
    key = {"BFL_API_KEY": "k"}
    local, public = "http://127.0.0.1:8000", "https://daygen.example/"
    simulated = accesses(secret, "http://127.0.0.1:9", webhooks_url=local)["flux"]
    assert simulated.webhook_url == f"{local}/api/flux/webhook"
    assert not accesses(secret | key, "", webhooks_url=local)["flux"].webhook_url
    real = accesses(secret | key, "", webhooks_url=public)["flux"]
    assert (real.webhook_url, real.webhook_secret) == (f"{public}api/flux/webhook", "s")
    assert not accesses(key, "", webhooks_url=public)["flux"].webhook_url

"""Settings from the environment, and what may be printed of them."""

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import InternalSettings, SettingsError, StorageSettings

COMPLETE = {
    "LEDGER_DATABASE_DSN": "postgresql://ledger:opensesame@db/daygen",
    "LEDGER_KAFKA_BOOTSTRAP": "localhost:9092",
    "LEDGER_INTERNAL_SECRET": "s" * 32,
}


class LedgerSettings(InternalSettings):
    model_config = SettingsConfigDict(env_prefix="LEDGER_")

    origins: list[str] = Field(default_factory=list)
    upstream_url: str = "http://user:opensesame@gateway/"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_settings_are_read_under_the_services_prefix(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEDGER_DATABASE_POOL_SIZE", "3")
    environment.setenv("LEDGER_ORIGINS", '["http://localhost:5173"]')
    settings = LedgerSettings.load()
    assert settings.database_pool_size == 3
    assert settings.origins == ["http://localhost:5173"]
    assert settings.internal_secret == SecretStr("s" * 32)


def test_replicas_of_one_machine_have_names_of_their_own(environment: pytest.MonkeyPatch) -> None:
    first = LedgerSettings.load().replica
    environment.setattr("os.getpid", lambda: -1)
    assert LedgerSettings.load().replica != first


@pytest.mark.parametrize("missing", sorted(COMPLETE))
def test_a_missing_variable_is_named_in_one_sentence(
    environment: pytest.MonkeyPatch, missing: str
) -> None:
    environment.delenv(missing)
    with pytest.raises(SettingsError) as refusal:
        LedgerSettings.load()
    assert str(refusal.value) == f"Set {missing}: the service cannot start without it."


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE_POOL_SIZE", "0", "input should be greater than or equal to 1."),
        ("DATABASE_POOL_SIZE", "opensesame", "input should be a valid integer"),
        ("ORIGINS", "opensesame", "write it as JSON."),
        ("LOG_LEVEL", "opensesame", "input should be 'DEBUG'"),
    ],
)
def test_a_wrong_value_is_explained_and_never_repeated(
    environment: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    environment.setenv(f"LEDGER_{name}", value)
    with pytest.raises(SettingsError) as refusal:
        LedgerSettings.load()
    assert str(refusal.value).startswith(f"Correct LEDGER_{name}: {sentence}")
    assert "opensesame" not in str(refusal.value)


@pytest.mark.usefixtures("environment")
def test_the_description_holds_every_setting_and_no_secret() -> None:
    described = LedgerSettings.load().describe()
    assert set(described) == set(LedgerSettings.model_fields)
    assert described["kafka_bootstrap"] == "localhost:9092"
    assert described["upstream_url"] == "http://user:(hidden)@gateway/"
    text = str(described)
    assert "opensesame" not in text
    assert "ssss" not in text


class GallerySettings(StorageSettings):
    model_config = SettingsConfigDict(env_prefix="GALLERY_")


def test_a_service_that_keeps_objects_needs_a_bucket_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name.replace("LEDGER", "GALLERY"), value)
    with pytest.raises(SettingsError) as refusal:
        GallerySettings.load()
    assert str(refusal.value) == (
        "Set GALLERY_S3_ACCESS_KEY, GALLERY_S3_BUCKET, GALLERY_S3_ENDPOINT, "
        "GALLERY_S3_REGION, GALLERY_S3_SECRET_KEY: the service cannot start without them."
    )

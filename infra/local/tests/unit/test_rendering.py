"""What each part and service is told: command lines, settings, environments."""

import json
from pathlib import Path

import pytest

from infra.kafka import topics
from infra.local import jars, kafka, postgres, s3, services, simulators, state
from infra.local.cluster import PART_PORTS, ROLES
from infra.local.home import ADMIN_EMAIL, Home, Secrets
from infra.local.process import Program
from infra.local.supervisor import Phase, Unit
from libs.events.names import Service, Topic
from libs.runtime.settings import ServiceSettings

NAMES = (*PART_PORTS, simulators.NAME, services.MAIL, *(service.value for service in Service))
AT = {name: 21_000 + number for number, name in enumerate(NAMES)}
SECRETS = Secrets(
    postgres={role: f"{role}-password" for role in ROLES},
    s3_access_key="KEY",
    s3_secret_key="SECRET",
    jwt="jwt",
    internal="internal",
    webhooks="webhooks",
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_kafka_keeps_streams_for_ever_and_makes_no_topic_by_itself() -> None:
    settings = kafka.properties(Path("data"), 9092, 9093)
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["log.retention.ms"] == "-1"
    assert settings["group.coordinator.append.linger.ms"] == "0"
    assert int(settings["message.max.bytes"]) > 1_000_000


def test_kafka_listens_on_loopback_alone() -> None:
    settings = kafka.properties(Path("data"), 9092, 9093)
    listeners = settings["listeners"].split(",")
    assert all("//127.0.0.1:" in listener for listener in listeners)


def test_properties_are_one_line_each() -> None:
    assert kafka.render({"a": "1", "b": "x=y"}) == "a=1\nb=x=y\n"


def test_postgres_listens_on_loopback_with_durable_writes() -> None:
    words = postgres.command(Path("data"), 5432)
    assert "listen_addresses=127.0.0.1" in words
    assert not any(word.startswith(("fsync=", "synchronous_commit=")) for word in words)


def test_every_server_of_the_object_store_has_its_two_ports() -> None:
    words = s3.command(Path("data"), AT)
    given = [word for word in words if ".port" in word and not word.endswith("=0")]
    assert len(given) == len(s3.PORTS)
    assert len({word.partition("=")[2] for word in given}) == len(s3.PORTS)


def test_the_object_store_knows_no_anonymous_visitor() -> None:
    (identity,) = json.loads(json.dumps(s3.identities(SECRETS)))["identities"]
    assert identity["credentials"] == [{"accessKey": "KEY", "secretKey": "SECRET"}]


def test_every_topic_has_its_twin_except_progress() -> None:
    names = [topic.name for topic in topics.definitions(12, 1)]
    assert set(names) == {
        *(topic.value for topic in Topic),
        *(topic.dead_letters for topic in Topic if topic is not Topic.PROGRESS),
    }
    assert len(names) == len(set(names))


def test_history_is_kept_and_progress_passes() -> None:
    retention = {t.name: t.topic_configs["retention.ms"] for t in topics.definitions(12, 1)}
    assert retention.pop(Topic.PROGRESS) == str(60 * 60 * 1000)
    assert set(retention.values()) == {"-1"}


def test_partitions_and_prefix_are_those_asked_for() -> None:
    made = topics.definitions(64, 3, prefix="test.")
    assert {topic.num_partitions for topic in made} == {64}
    assert {topic.replication_factor for topic in made} == {3}
    assert all(topic.name.startswith("test.daygen.") for topic in made)


@pytest.mark.parametrize("service", list(Service))
def test_a_service_finds_the_common_settings_under_its_own_prefix(
    service: Service, home: Home
) -> None:
    given = services.environment(service, home, AT, SECRETS)
    prefix = f"{service.upper()}_"
    assert all(name.startswith(prefix) for name in given)
    required = {name for name, field in ServiceSettings.model_fields.items() if field.is_required()}
    assert {prefix + name.upper() for name in required} <= set(given)


def test_a_service_gets_its_own_role_and_no_other_password(home: Home) -> None:
    given = " ".join(services.environment(Service.LEDGER, home, AT, SECRETS).values())
    assert "ledger:ledger-password@" in given
    assert "postgres-password" not in given
    assert "gallery-password" not in given


def test_only_who_stores_pictures_gets_the_object_store(home: Home) -> None:
    with_store = {
        service
        for service in Service
        if f"{service.upper()}_S3_ENDPOINT" in services.environment(service, home, AT, SECRETS)
    }
    assert with_store == {Service.GATEWAY, Service.GENERATION, Service.GALLERY}


def test_the_gateway_gets_lists_as_json(home: Home) -> None:
    given = services.environment(Service.GATEWAY, home, AT, SECRETS)
    assert json.loads(given["GATEWAY_CORS_ORIGINS"])
    assert given["GATEWAY_ADMIN_EMAIL"] == ADMIN_EMAIL


def test_the_state_has_what_an_outside_client_needs(home: Home) -> None:
    async def ready() -> bool:
        return True

    units = {
        name: Unit(Program(name=name, argv=("x",), directory=home.root, log=home.root, ready=ready))
        for name in (postgres.NAME, kafka.NAME, s3.NAME, simulators.NAME, *Service)
    }
    for unit in units.values():
        unit.phase = Phase.READY
    said = json.loads(json.dumps(state.describe(home, AT, SECRETS, units)))
    assert said["ready"] is True
    assert said["gateway_url"] == f"http://127.0.0.1:{AT['gateway']}"
    assert set(said["admin"]) == {"email", "password_file"}
    assert set(said["services"]) == {service.value for service in Service}
    assert {"ready", "url", "pid"} <= set(said["services"]["ledger"])
    assert {"bootstrap", "pid"} <= set(said["kafka"])
    assert {"dsn", "pid"} <= set(said["postgres"])
    assert {"endpoint", "pid"} <= set(said["s3"])
    assert said["simulators"]["openai"]["url"] == f"http://127.0.0.1:{AT['simulators']}/openai"
    assert {"ready", "pid"} <= set(said["simulation"])
    assert "webhook_secret" in said["stripe"]

    units["ledger"].phase = Phase.CRASHED
    assert state.describe(home, AT, SECRETS, units)["ready"] is False


def test_every_jar_is_pinned_with_a_hash() -> None:
    pinned = jars.read_lock()
    assert len({jar.filename for jar in pinned}) == len(pinned) > 40
    assert all(len(jar.sha256) == 64 for jar in pinned)
    assert any(jar.filename == "kafka_2.13-4.1.0.jar" for jar in pinned)
    # One version of everything: a second one of the log's parts would break the broker.
    assert len({jar.artifact for jar in pinned}) == len(pinned)


def test_the_cache_of_jars_needs_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "")
    assert jars.cache_directory().is_absolute()
    monkeypatch.setenv("XDG_CACHE_HOME", "caches")
    assert jars.cache_directory() == Path("caches") / "daygen" / "jars"

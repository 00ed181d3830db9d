"""A service's process: what it says when it starts."""

from pathlib import Path
from random import Random

from fastapi import FastAPI
from pydantic import SecretStr
from structlog.testing import capture_logs

from libs.events.names import Service
from libs.runtime.clock import SystemClock
from libs.runtime.ids import SystemIds
from libs.runtime.service import Parts, Runtime
from libs.runtime.settings import InternalSettings
from libs.runtime.tests.support import RecordingBus


async def test_a_service_tells_its_settings_once_and_no_secret(
    service_dsn: str, tmp_path: Path
) -> None:
    clock, random = SystemClock(), Random()
    settings = InternalSettings(
        database_dsn=SecretStr(service_dsn),
        kafka_bootstrap="kafka.example.com:9092",
        internal_secret=SecretStr("opensesame"),
        replica="billing-1",
    )
    parts = Parts(clock=clock, random=random, ids=SystemIds(clock, random), bus=RecordingBus())
    runtime = Runtime(Service.BILLING, settings, parts, migrations=tmp_path)
    with capture_logs() as lines:
        async with runtime.lifespan(FastAPI()):
            pass
    (told,) = (line["settings"] for line in lines if "settings" in line)
    assert told["kafka_bootstrap"] == "kafka.example.com:9092"
    assert told["replica"] == "billing-1"
    assert "opensesame" not in str(lines)
    assert service_dsn not in str(lines)

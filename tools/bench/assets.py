"""Pictures: a page of a large gallery, assets beside what storage itself serves, a large upload.

Gateway and gallery run whole on real Postgres, Kafka and S3; the gallery's rows are put there.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp
import asyncpg
from pydantic import SecretStr

from infra.kafka import topics
from infra.local import ports, services
from infra.local.cluster import LocalCluster
from infra.local.problem import Problem
from infra.local.process import Program
from infra.local.supervisor import Report, Supervisor
from libs.events.names import Service
from libs.runtime.asset_addresses import AssetSigner
from libs.runtime.auth import InternalTokens, Principal
from libs.runtime.clock import SystemClock
from libs.runtime.objects_s3 import S3ObjectStore, S3Options
from libs.runtime.paging import Position, encode_cursor
from tools.bench import admission, http_load
from tools.bench.figures import Latency, Outcome, Spread, ratios
from tools.bench.findings import Figure, Finding
from tools.bench.load import arrivals
from tools.bench.memory import resident_kb

ITEMS: Final = 100_000
PAGE: Final = 20
PAGE_MS_TARGET: Final = 20.0
RATE: Final = 50.0
ASSET_BYTES: Final = 1_000_000
ASSETS: Final = 50
CONNECTIONS: Final = 8
SHARE_TARGET: Final = 0.6
UPLOAD_BYTES: Final = 50_000_000
UPLOAD_MB_TARGET: Final = 10.0
WARM_UP_SECONDS: Final = 2.0
SAMPLE_SECONDS: Final = 0.005
SIDES: Final = ("storage", "gallery", "gateway")
LIFETIME: Final = timedelta(days=7)
WHAT: Final = f"a gallery of {ITEMS:,} pictures, assets of 1 MB, an upload of 50 MB"

# Job and asset of a picture have its number; rows come from one statement each.
FILL: Final = (
    """INSERT INTO gallery.confirmation
       SELECT lpad(n::text, 32, '0')::uuid, $1, $1, 1, gen_random_uuid(), gen_random_uuid(),
              $2::timestamptz + n * interval '1 second' FROM generate_series(1, $3::int) AS n""",
    """INSERT INTO gallery.asset
       SELECT 'attempts/' || n || '.jpg', $4, 'image/jpeg', $5, 1024, 1024, $2
         FROM generate_series(1, $3::int) AS n WHERE $1::uuid IS NOT NULL""",
    """INSERT INTO gallery.item (id, user_id, account_id, job_id, picture_index, asset_key,
              file_name, operation, provider, model, prompt, created_at, updated_at)
       SELECT gen_random_uuid(), $1, $1, lpad(n::text, 32, '0')::uuid, 0,
              'attempts/' || n || '.jpg', n || '.jpg', 'image', 'local', 'local-sketch',
              'a quiet harbour at dusk, number ' || n, at, at
         FROM generate_series(1, $3::int) AS n, LATERAL (
              SELECT $2::timestamptz + n / 2 * interval '2 seconds' AS at) AS moment""",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each part of a round is, and how many rounds there are."""

    seconds: float = 5.0
    rounds: int = 3


@dataclass(slots=True)
class Measured:
    """What was measured, round by round."""

    pages: list[Latency] = field(default_factory=list)
    mb_per_second: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in SIDES})
    upload_mb: list[float] = field(default_factory=list)
    refused: int = 0
    idle_kb: int = (
        0  # of the gallery before the first round: what it keeps of one is not given back
    )

    def finding(self) -> Finding:
        """Latency, shares and memory, and what was to be reached."""
        at = f"page of {PAGE} out of {ITEMS:,}, {RATE:g}/s"
        rates = self.mb_per_second
        figures = [Figure(f"{at}, p50", "ms", Spread.of([each.p50 for each in self.pages]))]
        figures += [Figure(f"assets, {side}", "MB/s", Spread.of(rates[side])) for side in SIDES]
        # It passes through two processes more: told, and held to nothing.
        figures.append(
            Figure("assets, gateway over storage", "x", ratios(rates["gateway"], rates["storage"]))
        )
        return Finding(
            "assets",
            WHAT,
            tuple(figures),
            (
                Outcome(
                    f"{at}, p99",
                    "ms",
                    Spread.of([each.p99 for each in self.pages]),
                    PAGE_MS_TARGET,
                ),
                Outcome(
                    "assets, gallery over storage",
                    "x",
                    ratios(rates["gallery"], rates["storage"]),
                    SHARE_TARGET,
                    is_least=True,
                ),
                Outcome(
                    "memory of an upload of 50 MB",
                    "MB",
                    Spread.of(self.upload_mb),
                    UPLOAD_MB_TARGET,
                ),
                Outcome("refused requests", "", Spread.of([float(self.refused)]), 0),
            ),
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """The running parts, and a person with a large gallery."""

    at: Mapping[str, int]
    tokens: InternalTokens
    person: Principal
    pid: int
    reads: Mapping[str, Sequence[bytes]]
    began: datetime

    @property
    def bearer(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.tokens.issue(self.person, Service.GALLERY)}"}


async def measure(plan: Plan, scratch: Path, report: Report) -> list[Finding]:
    """Run the whole bench on parts of its own."""
    async with AsyncExitStack() as stack:
        report("Starting Postgres, Kafka, S3, gateway and gallery")
        cluster = await stack.enter_async_context(LocalCluster(scratch / "home"))
        await topics.ensure(cluster.kafka_bootstrap, partitions=12)
        at = ports.choose(["gateway", "gallery"])
        secret = secrets.token_hex(32)
        programs = _programs(cluster, at, secret, scratch)
        supervisor = Supervisor(programs, report=lambda _: None)
        await supervisor.start()
        stack.push_async_callback(supervisor.stop)
        pid = supervisor.units["gallery"].pid
        if pid is None:
            raise Problem("The measured gallery has ended: read its log.")
        report(f"Putting {ITEMS:,} pictures into the gallery")
        bench = await _prepare(cluster, at, secret, pid)
        await _saturate(bench, "gateway", WARM_UP_SECONDS)
        measured = Measured(idle_kb=resident_kb(pid))
        for number in range(plan.rounds):
            await _round(plan, bench, Random(number), measured)  # noqa: S311 - arrivals, no secrets
            page, rates = measured.pages[-1], measured.mb_per_second
            said = ", ".join(f"{side} {rates[side][-1]:.0f} MB/s" for side in SIDES)
            report(
                f"round {number + 1}: page p50 {page.p50:.1f}, p99 {page.p99:.1f} ms; {said}; "
                f"with an upload {measured.upload_mb[-1]:.1f} MB more memory"
            )
        return [measured.finding()]


async def _round(plan: Plan, bench: Bench, random: Random, measured: Measured) -> None:
    times = arrivals(RATE, plan.seconds, random)
    pages = await http_load.drive(
        ports.HOST, bench.at["gallery"], [_page(bench, random) for _ in times], times
    )
    measured.pages.append(Latency.of([each * 1000 for each in pages.seconds]))
    measured.refused += len(pages.refused)
    for side in SIDES:
        done = await _saturate(bench, side, plan.seconds)
        measured.mb_per_second[side].append(done.per_second * ASSET_BYTES / 1_000_000)
        measured.refused += len(done.refused)
    measured.upload_mb.append(await _upload(bench) - measured.idle_kb / 1_000)


def _page(bench: Bench, random: Random) -> bytes:
    """Any page of the gallery, as somebody who scrolls asks for it."""
    moment = bench.began + timedelta(seconds=random.randrange(ITEMS))
    cursor = encode_cursor(Position(moment, UUID(int=random.getrandbits(128))))
    return _get(f"/api/r2files?limit={PAGE}&cursor={cursor}", bench.bearer)


async def _saturate(bench: Bench, side: str, seconds: float) -> http_load.Shots:
    return await http_load.saturate(
        ports.HOST, bench.at[side], bench.reads[side], connections=CONNECTIONS, seconds=seconds
    )


async def _upload(bench: Bench) -> float:
    """The gallery's memory in MB while it takes a large file, at its highest."""
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, resident_kb(bench.pid))
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        url = services.url_of_port(bench.at["gallery"])
        body = {"fileName": "large.jpg", "contentType": "image/jpeg", "folder": ""}
        async with aiohttp.ClientSession(headers=bench.bearer) as session:
            async with session.post(f"{url}/api/upload/presigned", json=body) as given:
                path = urlsplit((await given.json())["uploadUrl"]).path
            async with session.put(f"{url}{path}", data=_large_jpeg()) as taken:
                if taken.status != 200:
                    raise Problem(f"The gallery has refused the upload: {await taken.text()}.")
    finally:
        watching.cancel()
    return highest / 1_000


async def _large_jpeg() -> AsyncIterator[bytes]:
    """A picture that is mostly scan: a head of 64 x 64 grey pixels, then what nobody unfolds."""
    head = bytes.fromhex("ffd8ffc0000b080040004001011100ffda0008010100003f00")
    filler, left = bytes(64 * 1024), UPLOAD_BYTES - len(head) - 2
    yield head
    while left > 0:
        yield filler[:left]
        left -= len(filler[:left])
    yield b"\xff\xd9"


async def _prepare(cluster: LocalCluster, at: Mapping[str, int], secret: str, pid: int) -> Bench:
    clock, user_id = SystemClock(), uuid4()
    began = datetime(2026, 1, 1, tzinfo=UTC)
    content = Random(7).randbytes(ASSET_BYTES)  # noqa: S311 - bytes, no secret
    digest = hashlib.sha256(content).hexdigest()
    keys = [f"attempts/{number}.jpg" for number in range(1, ASSETS + 1)]
    options = S3Options(
        endpoint=cluster.s3.endpoint,
        region=cluster.s3.region,
        bucket=cluster.s3.bucket,
        access_key=SecretStr(cluster.s3.access_key),
        secret_key=SecretStr(cluster.s3.secret_key),
    )
    async with S3ObjectStore.connect(options) as bucket:
        for key in keys:
            await bucket.put(key, content, content_type="image/jpeg")
        direct = [urlsplit(await bucket.address(key, seconds=3_600)) for key in keys]
    connection = await asyncpg.connect(cluster.postgres_dsn())
    try:
        for number, statement in enumerate(FILL):
            given = (user_id, began, ITEMS, digest, ASSET_BYTES)
            await connection.execute(statement, *given[: 5 if number == 1 else 3])
        for table in ("confirmation", "asset", "item"):
            await connection.execute(f"VACUUM ANALYZE gallery.{table}")
    finally:
        await connection.close()
    signer = AssetSigner([secret.encode()], clock, LIFETIME)
    ours = [_get(f"/assets/{signer.signed(key)}", {}) for key in keys]
    stored = [_get(f"{each.path}?{each.query}", {}, host=each.netloc) for each in direct]
    return Bench(
        at={**at, "storage": cluster.ports["s3-s3"]},
        tokens=InternalTokens(SecretStr(secret), clock),
        person=Principal(user_id=user_id, role="USER", account_id=user_id),
        pid=pid,
        reads={"storage": stored, "gallery": ours, "gateway": ours},
        began=began,
    )


def _programs(
    cluster: LocalCluster, at: Mapping[str, int], secret: str, scratch: Path
) -> list[Program]:
    store = cluster.s3
    gallery = {
        "DATABASE_DSN": cluster.postgres_dsn(Service.GALLERY),
        "KAFKA_BOOTSTRAP": cluster.kafka_bootstrap,
        "INTERNAL_SECRET": secret,
        "PUBLIC_BASE_URL": services.url_of_port(at["gateway"]),
        "S3_ENDPOINT": store.endpoint,
        "S3_REGION": store.region,
        "S3_BUCKET": store.bucket,
        "S3_ACCESS_KEY": store.access_key,
        "S3_SECRET_KEY": store.secret_key,
    }
    factory = "services.gallery.app:create_app"
    return [
        admission.program("gallery", factory, at["gallery"], scratch, {
            f"GALLERY_{name}": value for name, value in gallery.items()
        }),
        admission.gateway_program(cluster, at["gateway"], scratch, {
            "GATEWAY_GALLERY_URL": services.url_of_port(at["gallery"]),
            "GATEWAY_INTERNAL_SECRET": secret,
        }),
    ]  # fmt: skip


def _get(path: str, headers: Mapping[str, str], host: str = ports.HOST) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()

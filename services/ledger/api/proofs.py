"""What anybody can check: the log's checkpoints and proofs, the keys, receipts of jobs."""

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import PlainTextResponse, Response

from libs.proofs.notes import to_base64
from libs.runtime.auth import Principal, RequirePrincipal
from libs.runtime.http.bodies import Body
from services.ledger.handlers.receipts import Proof, Receipts

SIZE_MAX = 2**62
KEYS_PATH = "/.well-known/daygen-keys.json"

Position = Annotated[int, Path(ge=0, lt=SIZE_MAX, description="Of the leaf, counted from 0.")]
Old = Annotated[int, Path(ge=1, lt=SIZE_MAX, description="Leaves of the older tree.")]
Size = Annotated[
    int | None,
    Query(ge=1, lt=SIZE_MAX, description="Leaves of the tree; the last sealed one if left out."),
]


class ProofBody(Body):
    """Hashes (base64) in the order in which they are joined, and the root that they lead to."""

    size: int
    root: str
    hashes: list[str]


def create_router(receipts: Receipts, authenticate: RequirePrincipal) -> APIRouter:
    """The routes of the log, which need no caller, and of receipts, which are their owner's."""
    router = APIRouter(tags=["proofs"])
    Caller = Annotated[Principal, Depends(authenticate)]  # noqa: N806  # a type, made at start

    @router.get("/api/jobs/{job_id}/receipt")
    async def read_receipt(job_id: UUID, caller: Caller) -> Response:
        """A job's signed receipt: canonical JSON, to be kept byte for byte."""
        text = await receipts.receipt(job_id, caller)
        name = f'attachment; filename="receipt-{job_id}.json"'
        headers = {"content-disposition": name, "cache-control": "private, no-cache"}
        return Response(text, media_type="application/json", headers=headers)

    @router.get("/api/log/checkpoint", response_class=PlainTextResponse)
    async def read_checkpoint(size: Size = None) -> PlainTextResponse:
        """The log's signed state: a C2SP checkpoint."""
        return PlainTextResponse(await receipts.checkpoint(size))

    @router.get("/api/log/proof/inclusion/{position}")
    async def prove_inclusion(position: Position, size: Size = None) -> ProofBody:
        """That a leaf is in the log (RFC 9162, 2.1.3)."""
        return _body(await receipts.inclusion(position, size))

    @router.get("/api/log/proof/consistency/{old}")
    async def prove_consistency(old: Old, size: Size = None) -> ProofBody:
        """That the log begins with what it was (RFC 9162, 2.1.4)."""
        return _body(await receipts.consistency(old, size))

    @router.get(KEYS_PATH)
    async def read_keys() -> Response:
        """The keys that verify receipts and checkpoints, the oldest first."""
        document = msgspec.json.encode(receipts.published_keys())
        return Response(document, media_type="application/json")

    return router


def _body(proof: Proof) -> ProofBody:
    return ProofBody(size=proof.size, root=to_base64(proof.root), hashes=list(proof.hashes))

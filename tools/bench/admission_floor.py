"""The floor of admissions: a FastAPI route that inserts one row, and nothing else.

Started with its database in the environment; `uvicorn --factory`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel

DSN = "FLOOR_DSN"
POOL_SIZE = 10

CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS asked (job_id uuid PRIMARY KEY, provider text, prompt text)
"""
INSERT_ROW = "INSERT INTO asked VALUES ($1, $2, $3)"


class Body(BaseModel):
    """As much of a request as our route must have."""

    provider: str
    prompt: str


class Answer(BaseModel):
    """As much of an answer as a client must have."""

    job_id: UUID
    status: str


def create_app() -> FastAPI:
    """For `uvicorn --factory`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            os.environ[DSN], min_size=POOL_SIZE, max_size=POOL_SIZE
        ) as pool:
            await pool.execute(CREATE_TABLE)
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/api/jobs", status_code=202)
    async def create_job(body: Body) -> Answer:
        job_id = uuid4()
        await app.state.pool.execute(INSERT_ROW, job_id, body.provider, body.prompt)
        return Answer(job_id=job_id, status="PENDING")

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app

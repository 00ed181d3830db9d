"""All simulators as one ASGI application: each under its name, and a control route for fates."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from infra.simulators.flux import FluxSimulator
from infra.simulators.gemini import GeminiSimulator
from infra.simulators.ideogram import IdeogramSimulator
from infra.simulators.inputs import read_json
from infra.simulators.luma import LumaSimulator
from infra.simulators.mail import MailSink
from infra.simulators.openai import OpenAISimulator
from infra.simulators.qwen import QwenSimulator
from infra.simulators.recraft import RecraftSimulator
from infra.simulators.reve import ReveSimulator
from infra.simulators.runway import RunwaySimulator
from infra.simulators.scripts import Script, Situation
from infra.simulators.seedream import SeedreamSimulator
from infra.simulators.simulator import Simulator

SIMULATORS: tuple[type[Simulator], ...] = (
    FluxSimulator,
    GeminiSimulator,
    IdeogramSimulator,
    LumaSimulator,
    OpenAISimulator,
    QwenSimulator,
    RecraftSimulator,
    ReveSimulator,
    RunwaySimulator,
    SeedreamSimulator,
)
NAMES = tuple(each.name for each in SIMULATORS)


class Studio:
    """The simulators of one process; with a sink of mails where one is given."""

    def __init__(self, sink: MailSink | None = None, mail_port: int = 0) -> None:
        self.simulators = {each.name: each() for each in SIMULATORS}
        self._sink = sink
        self._mail_port = mail_port

    def app(self) -> Starlette:
        """What serves them."""
        return Starlette(
            routes=[
                Route("/health/ready", _ready),
                Route("/control/{name}", self.tell, methods=["POST"]),
                Route("/control/{name}", self.show, methods=["GET"]),
                Route("/control/{name}", self.forget, methods=["DELETE"]),
                *(Mount(f"/{name}", routes=each.all_routes())
                  for name, each in self.simulators.items()),
                *([Route("/mails", self._sink.show)] if self._sink else []),
            ],
            lifespan=self._lifespan,
        )  # fmt: skip

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with self._sink.listening(self._mail_port) if self._sink else nullcontext():
            yield

    async def tell(self, request: Request) -> Response:
        """What becomes of the next orders, or with `times` 0 of all orders from now on."""
        simulator = self.simulators.get(request.path_params["name"])
        body = await read_json(request)
        if simulator is None:
            return _problem(404, f"There is no simulator of that name: {', '.join(NAMES)}.")
        try:
            script, times = _script(body)
        except (TypeError, ValueError) as error:
            return _problem(400, f"That is no fate of an order: {error}.")
        if times:
            simulator.scripts.add(script, times)
        else:
            simulator.scripts.set_usual(script)
        return Response(status_code=204)

    async def show(self, request: Request) -> Response:
        """The last orders that came."""
        simulator = self.simulators.get(request.path_params["name"])
        if simulator is None:
            return _problem(404, f"There is no simulator of that name: {', '.join(NAMES)}.")
        cancelled = [name for name, task in simulator.tasks.items() if task.is_cancelled]
        return JSONResponse({"calls": list(simulator.calls), "cancelled": cancelled})

    async def forget(self, request: Request) -> Response:
        """Back to success for everybody."""
        if simulator := self.simulators.get(request.path_params["name"]):
            simulator.scripts.clear()
            simulator.calls.clear()
        return Response(status_code=204)


def create_app(sink: MailSink | None = None, mail_port: int = 0) -> Starlette:
    """For an ASGI server."""
    return Studio(sink, mail_port).app()


async def _ready(_request: Request) -> Response:
    return JSONResponse({"status": "ready"})


def _script(body: dict[str, Any]) -> tuple[Script, int]:
    given = dict(body)
    times = int(given.pop("times", 1))
    situation = Situation(given.pop("situation", Situation.SUCCESS))
    return Script(situation, **{name: float(value) for name, value in given.items()}), times


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"error": "bad_request", "message": message}, status)

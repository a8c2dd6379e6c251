"""Click probabilities over HTTP: a model that `recnas export --format onnx` wrote, behind FastAPI.

    python examples/service/service.py models/criteo --port 8000 --workers 2

    POST /predict   {"rows": [{"I1": 3, "C1": "68fd1e64", …}, …]}  →  {"probabilities": [0.0312, …]}
    GET  /model     what the model is, and the columns of a row
    GET  /health    200 as soon as it answers requests

Rows are raw, as they are in the log: `Schema.encode` reads them as `recnas prepare` reads the log. ONNX Runtime
computes; torch is not needed.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recnas.candidates.network import load_network
from recnas.features.encoding import column_of
from recnas.features.ensemble_file import input_schemas, is_ensemble
from recnas.features.feature import parts_of
from recnas.features.schema import Schema
from recnas.util.errors import InputError
from recnas.util.printable import one_line

MODEL = "RECNAS_MODEL"
"""The environment variable that tells worker processes the model's folder."""
MOST_ROWS, MOST_KEYS = 10_000, 10_000
"""The largest request, and the largest row of one."""
MOST_BYTES = 4 * 2**20
"""The largest body, unless `--most-bytes` says otherwise: one of 50 MB takes seconds to read alone."""
BYTES = "RECNAS_MOST_BYTES"
"""The environment variable that tells worker processes the largest body."""
MOST_TOLD = 3
"""How many of a request's errors are told."""
STARTING = 60
"""Seconds that a worker process has to load the model."""


class Predictor:
    """A model for raw rows; several threads may use it at the same time.

    Args:
        folder: What `recnas export --format onnx` wrote.

    Raises:
        InputError: It is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self.schema, self._inputs_by = Schema.load(folder), input_schemas(folder)
        self.id = "ensemble" if is_ensemble(folder) else load_network(folder / "architecture.json").id
        program = folder / "model.onnx"
        if not program.is_file():
            raise InputError(f"{program}: no such file; `recnas export … --format onnx` writes it")
        options = onnxruntime.SessionOptions()
        # Requests are what runs side by side; processes, --workers, use the other cores.
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InputError(f"{program}: ONNX Runtime cannot read it ({' '.join(str(error).split())})") from error
        self._inputs = [item.name for item in self._session.get_inputs()]
        # A schema that cannot read raw rows is told of now, and what comes first is not slower than the rest.
        self.predict([dict.fromkeys(self.columns())])

    def predict(self, rows: list[dict[str, Any]]) -> np.ndarray:
        """Click probabilities `[B]` of B raw rows.

        Raises:
            InputError: A value cannot be read.
        """
        arrays = [array for schema in self._inputs_by for array in schema.encode(rows).arrays]
        (probabilities,) = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        return probabilities

    def columns(self) -> dict[str, str]:
        """The columns of a raw row, and what each holds: `number`, `id` or `list of ids`."""
        kinds = {column_of(feature): "number" for feature in self.schema.dense}
        for feature in parts_of(self.schema.sparse):
            # A time may be read as a number and as an hour.
            kind = "list of ids" if feature.multi_valued else "id" if feature.number is None else "number"
            kinds.setdefault(column_of(feature), kind)
        return kinds


class Rows(BaseModel):
    """Raw rows. Other columns than the model's are ignored; null and "" are missing values."""

    rows: list[Annotated[dict[str, Any], Field(max_length=MOST_KEYS)]] = Field(min_length=1, max_length=MOST_ROWS)


class Predictions(BaseModel):
    """The click probability of each row, in their order."""

    probabilities: list[float]


class Model(BaseModel):
    """What answers."""

    id: str
    columns: dict[str, str]


class LimitedBody:
    """Hands on requests whose body is small enough; one that is not is answered when it has become too large.

    Args:
        app: Who answers the others; it is given the body as a whole.
        most: Bytes.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parts: list[bytes] = []
        # What a client claims is enough to refuse it.
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        size, more = int(claimed) if claimed.isdigit() else 0, True
        received = 0
        while more and max(size, received) <= self.most:
            message = await receive()
            if message["type"] != "http.request":
                return
            parts.append(message.get("body", b""))
            received, more = received + len(parts[-1]), message.get("more_body", False)
        if max(size, received) > self.most:
            detail = f"body: more than {self.most:,} bytes; send fewer rows at once"
            # What else comes is not read.
            await JSONResponse({"detail": detail}, 413, {"connection": "close"})(scope, receive, send)
            return
        whole = [b"".join(parts)]
        del parts

        async def replay() -> Message:
            return {"type": "http.request", "body": whole.pop(), "more_body": False} if whole else await receive()

        await self.app(scope, replay, send)


def create_app() -> FastAPI:
    """The service of the model in the folder that the environment names.

    Raises:
        InputError: There is no such model.
    """
    predictor = Predictor(Path(os.environ[MODEL]))
    app = FastAPI(title="Click probabilities", description=f"Model {predictor.id}, trained by recnas.")

    app.add_middleware(LimitedBody, most=int(os.environ.get(BYTES, MOST_BYTES)))

    def answer(body: bytes) -> Predictions:
        try:
            return Predictions(probabilities=predictor.predict(Rows.model_validate_json(body).rows).tolist())
        except ValidationError as error:
            # Without what was sent: it may be large, or no JSON, such as NaN.
            found = error.errors(include_url=False, include_context=False, include_input=False)[:MOST_TOLD]
            told = [f"{'.'.join(map(str, ('body', *item['loc'])))}: {item['msg']}" for item in found]
            raise HTTPException(422, "; ".join(told)) from None
        except InputError as error:
            raise HTTPException(422, str(error)) from None

    # FastAPI would read the JSON where it takes all requests in; a thread lets others be answered meanwhile.
    @app.post(
        "/predict",
        responses={
            413: {"description": "The body is too large"},
            422: {"description": "A row cannot be read; the answer says which, and why"},
        },
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": Rows.model_json_schema()}}}
        },
    )
    async def predict(request: Request) -> Predictions:
        return await run_in_threadpool(answer, await request.body())

    @app.get("/model")
    def model() -> Model:
        return Model(id=predictor.id, columns=predictor.columns())

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def main() -> int:
    """Serves until it is told to stop; gives the exit code, 2 for a folder without a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="the exported model's folder")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with the model (default: 1)")
    parser.add_argument(
        "--most-bytes", type=int, default=MOST_BYTES, metavar="N", help=f"the largest body (default: {MOST_BYTES:,})"
    )
    arguments = parser.parse_args()
    try:
        # Here, as each worker would tell of it in its own way.
        Predictor(arguments.model)
        listening = socket.create_server((arguments.host, arguments.port), backlog=2048)
    except (InputError, OSError, OverflowError) as error:
        print(f"service: {one_line(str(error))}", file=sys.stderr)
        return 2
    # Connections inherit this. Without it each answer's second packet waits 40 ms for a word on its first, where
    # processes share a socket: asyncio does not see then that it is TCP's.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    os.environ |= {MODEL: str(arguments.model.resolve()), BYTES: str(arguments.most_bytes)}
    uvicorn.run(
        "service:create_app",
        factory=True,
        fd=listening.fileno(),
        workers=arguments.workers,
        timeout_worker_healthcheck=STARTING,
        access_log=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

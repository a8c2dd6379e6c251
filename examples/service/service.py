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
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from recnas.encoding import column_of
from recnas.errors import InputError
from recnas.nn.definition import Definition
from recnas.schema import Schema

MODEL = "RECNAS_MODEL"
"""The environment variable that tells worker processes the model's folder."""
MOST_ROWS = 10_000
"""The largest request."""
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
        self.schema = Schema.load(folder)
        self.id = Definition.load(folder / "architecture.json").id
        program = folder / "model.onnx"
        if not program.is_file():
            raise InputError(f"{program}: no such file; `recnas export … --format onnx` writes it")
        options = onnxruntime.SessionOptions()
        # Requests are what runs side by side; processes, --workers, use the other cores.
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise InputError(f"{program}: ONNX Runtime cannot read it ({error})") from error
        self._inputs = [item.name for item in self._session.get_inputs()]
        # A schema that cannot read raw rows is told of now, and what comes first is not slower than the rest.
        self.predict([dict.fromkeys(self.columns())])

    def predict(self, rows: list[dict[str, Any]]) -> np.ndarray:
        """Click probabilities `[B]` of B raw rows.

        Raises:
            InputError: A value cannot be read.
        """
        encoded = self.schema.encode(rows)
        (probabilities,) = self._session.run(None, dict(zip(self._inputs, encoded.arrays, strict=True)))
        return probabilities

    def columns(self) -> dict[str, str]:
        """The columns of a raw row, and what each holds: `number`, `id` or `list of ids`."""
        kinds = {column_of(feature): "number" for feature in self.schema.dense}
        for feature in self.schema.sparse:
            # A time may be read as a number and as an hour.
            kinds.setdefault(column_of(feature), "list of ids" if feature.multi_valued else "id")
        return kinds


class Rows(BaseModel):
    """Raw rows. Other columns than the model's are ignored; null and "" are missing values."""

    rows: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_ROWS)


class Predictions(BaseModel):
    """The click probability of each row, in their order."""

    probabilities: list[float]


class Model(BaseModel):
    """What answers."""

    id: str
    columns: dict[str, str]


def create_app() -> FastAPI:
    """The service of the model in the folder that the environment names.

    Raises:
        InputError: There is no such model.
    """
    predictor = Predictor(Path(os.environ[MODEL]))
    app = FastAPI(title="Click probabilities", description=f"Model {predictor.id}, found by recnas.")

    # Not `async`: FastAPI runs it in a thread, so that others are answered while the model computes.
    @app.post("/predict", responses={422: {"description": "A row cannot be read; the answer says which, and why"}})
    def predict(request: Rows) -> Predictions:
        try:
            return Predictions(probabilities=predictor.predict(request.rows).tolist())
        except InputError as error:
            raise HTTPException(422, str(error)) from None

    # FastAPI's own answer repeats the whole request, and fails where that holds no JSON, such as NaN.
    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        told = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:MOST_TOLD]]
        return JSONResponse({"detail": "; ".join(told)}, 422)

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
    arguments = parser.parse_args()
    try:
        # Here, as each worker would tell of it in its own way.
        Predictor(arguments.model)
        listening = socket.create_server((arguments.host, arguments.port), backlog=2048)
    except (InputError, OSError, OverflowError) as error:
        print(f"service: {error}", file=sys.stderr)
        return 2
    # Connections inherit this. Without it each answer's second packet waits 40 ms for a word on its first, where
    # processes share a socket: asyncio does not see then that it is TCP's.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    os.environ[MODEL] = str(arguments.model.resolve())
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

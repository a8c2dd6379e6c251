"""How many raw rows a running service answers, how fast, and whether it answers what the offline path computes.

    python examples/service/load_test.py http://127.0.0.1:8000 rows.jsonl
    python examples/service/load_test.py http://127.0.0.1:8000 rows.jsonl --model models/demo --data data/movielens

`rows.jsonl` has a raw row a line, as a JSON object. Clients, a thread each with a connection of its own, send one
request after the other. Given the model and the data set that was prepared from the same rows, all rows are sent once,
and the probabilities, in ascending order, are compared with those of the prepared rows; exit code 1 if they differ.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

TOLERANCE = 1e-5
"""The largest difference of two probabilities that counts as equal: float32 in another order of summation."""


class Client:
    """One connection to the service."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def predict(self, body: bytes) -> list[float]:
        """The answer to a request; raises OSError if it is refused."""
        self._connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise OSError(f"{answer.status} {text}")
        return json.loads(text)["probabilities"]


def body_of(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a request."""
    return json.dumps({"rows": rows}).encode()


def measure(address: str, bodies: list[bytes], clients: int, seconds: float) -> tuple[list[float], list[str]]:
    """Milliseconds of each request that was answered, and what was said of the others.

    Args:
        address: The service.
        bodies: Requests; each client begins somewhere else.
        clients: Threads that ask at the same time.
        seconds: How long.
    """
    times: list[float] = []
    errors: list[str] = []
    until = time.perf_counter() + seconds

    def ask(number: int) -> None:
        client, place = Client(address), number * len(bodies) // clients
        while (start := time.perf_counter()) < until:
            try:
                client.predict(bodies[place % len(bodies)])
            except (OSError, http.client.HTTPException) as error:
                errors.append(str(error))
                client = Client(address)
                continue
            times.append(1000 * (time.perf_counter() - start))
            place += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, errors


def online(address: str, rows: list[dict[str, Any]], at_once: int = 1000) -> np.ndarray:
    """The service's probabilities of all rows."""
    client = Client(address)
    parts = [client.predict(body_of(rows[start : start + at_once])) for start in range(0, len(rows), at_once)]
    return np.concatenate(parts)


def offline(model: Path, data: Path) -> np.ndarray:
    """A model's probabilities of all rows of a data set."""
    import torch

    import recnas
    from recnas.data import Dataset
    from recnas.features.schema import SPLITS

    loaded = recnas.load(model)
    # The members of an ensemble may be fed different things.
    fed = [Dataset(data).fed(schema) for schema in loaded.schemas]
    parts = []
    with torch.inference_mode():
        for split in SPLITS:
            for batches in zip(*(dataset.batches(split, 4096) for dataset in fed), strict=True):
                parts.append(torch.sigmoid(loaded(*batches)).numpy())
    return np.concatenate(parts)


def main() -> int:
    """Measures and compares; gives the exit code, 1 if there were errors or differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="the service's, such as http://127.0.0.1:8000")
    parser.add_argument("rows", type=Path, metavar="ROWS", help="raw rows, a JSON object a line")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="at the same time (default: 1 4 16)")
    parser.add_argument("--rows-a-request", type=int, nargs="+", default=[1, 64], metavar="N", help="default: 1 64")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument("--model", type=Path, help="the exported model's folder, to compare with the offline path")
    parser.add_argument("--data", type=Path, help="the data set that was prepared from the same rows")
    arguments = parser.parse_args()
    if (arguments.model is None) != (arguments.data is None):
        parser.error("--model and --data are given together")
    if urlsplit(arguments.address).scheme != "http":
        parser.error(f"{arguments.address!r} is no address such as http://127.0.0.1:8000")
    if min(*arguments.clients, *arguments.rows_a_request, 1) < 1:
        parser.error("--clients and --rows-a-request are 1 or more")
    try:
        rows = [json.loads(line) for line in arguments.rows.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        parser.error(f"{arguments.rows}: {error}")
    if not rows:
        parser.error(f"{arguments.rows}: no rows")
    # Not file order, in which neighbours are alike.
    random.Random(0).shuffle(rows)
    failed = False
    print("| rows a request | clients | requests/s | rows/s | p50, ms | p95, ms | p99, ms | errors |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in arguments.rows_a_request:
        bodies = [body_of(rows[start : start + size]) for start in range(0, min(len(rows), 1000 * size), size)]
        for clients in arguments.clients:
            start = time.perf_counter()
            times, errors = measure(arguments.address, bodies, clients, arguments.seconds)
            rate = len(times) / (time.perf_counter() - start)
            p50, p95, p99 = np.percentile(times, [50, 95, 99]) if times else [float("nan")] * 3
            print(
                f"| {size} | {clients} | {rate:,.0f} | {size * rate:,.0f} | {p50:.1f} | {p95:.1f} | {p99:.1f} "
                f"| {len(errors)} |",
                flush=True,
            )
            if errors:
                failed = True
                print(f"the first error: {errors[0]}", file=sys.stderr)
    if arguments.model is not None:
        failed = not same_as_offline(arguments.address, rows, arguments.model, arguments.data) or failed
    return 1 if failed else 0


def same_as_offline(address: str, rows: list[dict[str, Any]], model: Path, data: Path) -> bool:
    """Whether the service's probabilities of all rows are the offline path's; says how far apart they are."""
    try:
        served = np.sort(online(address, rows))
    except OSError as error:
        print(f"not compared: {error}", file=sys.stderr)
        return False
    expected = np.sort(offline(model, data))
    if served.shape != expected.shape:
        print(f"{len(served):,} rows were sent, and {data} has {len(expected):,}", file=sys.stderr)
        return False
    difference = float(np.abs(served - expected).max())
    print(f"\n{len(served):,} rows, largest difference from the offline path: {difference:.1e}")
    return difference <= TOLERANCE


if __name__ == "__main__":
    sys.exit(main())

"""The example service: raw rows over HTTP give the offline path's probabilities, and what is wrong is told."""

from __future__ import annotations

import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recnas.data import Dataset, fit_inputs
from recnas.data_prep import prepare
from recnas.export.onnx import save_onnx
from recnas.features.inputs import Inputs
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel, searched_network
from recnas.space import Architecture, SearchSpace
from recnas.train.checkpoint import model_tensors
from recnas.train.tensor_files import load_tensors, save_tensors

pytestmark = pytest.mark.slow

SERVICE = Path(__file__).parents[2] / "examples" / "service"


@pytest.fixture(scope="module")
def raw_rows() -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [
        {
            "click": rng.randint(0, 1),
            "price": rng.choice(["", "3.5", "-1", "1200"]),
            "user": rng.choice(["", "5", "anna", "4294967297"]),
            "tags": rng.choice(["", "a", "a|b", "b|7|7"]),
        }
        for _ in range(300)
    ]


@pytest.fixture(scope="module")
def folder(raw_rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the raw rows, the data set that was prepared from them, and a model that is fed all kinds of inputs."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in raw_rows))
    roles = {"label": "click", "dense": ["price"], "sparse": ["user"], "multi": ["tags"]}
    prepare("tabular", folder / "data", folder / "rows.jsonl", progress=False, **roles)
    inputs = Inputs(("columns", "bins", "piecewise", "missing"), 16, crosses=("user:price",), min_count=2)
    schema = fit_inputs(Dataset(folder / "data"), inputs)
    arch = SearchSpace.named("nasrec-small").sample(random.Random(0))
    torch.manual_seed(0)
    model = CTRModel(schema, WholeEmbeddings(schema, 16), searched_network(schema, arch)).eval()
    (folder / "model").mkdir()
    arch.save(folder / "model" / "architecture.json")
    schema.save(folder / "model")
    save_tensors(folder / "model" / "weights.safetensors", model_tensors(model))
    save_onnx(model, folder / "model" / "model.onnx")
    return folder


def start(model: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, SERVICE / "service.py", model, "--port", str(port), "--workers", "2"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A running service; at the end it goes when it is told to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process, address = start(folder / "model", port), f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
    yield address
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=30)[1]
    assert "Finished server process" in told, told


def ask(address: str, body: Any) -> tuple[int, Any]:
    """The status and the answer of `/predict`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/predict", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def load_test(folder: Path, address: str) -> subprocess.CompletedProcess[str]:
    flags = ["--clients", "2", "--rows-a-request", "1", "7", "--seconds", "0.2"]
    command = [sys.executable, SERVICE / "load_test.py", address, folder / "rows.jsonl", *flags]
    places = ["--model", folder / "model", "--data", folder / "data"]
    return subprocess.run([*command, *places], capture_output=True, text=True)


def test_the_load_test_finds_the_offline_paths_probabilities(folder: Path, address: str) -> None:
    ended = load_test(folder, address)
    assert ended.returncode == 0, ended.stderr
    *_, one, seven, _, compared = ended.stdout.splitlines()
    assert one.startswith("| 1 | 2 | ")
    assert one.endswith("| 0 |")
    assert seven.startswith("| 7 | 2 | ")
    assert compared.startswith("300 rows, largest difference from the offline path: ")


def test_the_load_test_tells_of_another_model(folder: Path, address: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    weights = other / "model" / "weights.safetensors"
    save_tensors(weights, {name: 1.5 * tensor for name, tensor in load_tensors(weights).items()})
    ended = load_test(other, address)
    assert ended.returncode == 1
    assert "largest difference" in ended.stdout


def test_rows_of_a_request_keep_their_order(address: str, raw_rows: list[dict[str, Any]]) -> None:
    status, together = ask(address, {"rows": raw_rows[:5]})
    assert status == 200
    single = [ask(address, {"rows": [row]})[1]["probabilities"][0] for row in raw_rows[:5]]
    np.testing.assert_allclose(together["probabilities"], single, atol=1e-6)
    assert len(set(single)) > 1


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"price": 1, "user": "a", "tags": ""}, {"price": "dear", "user": "a", "tags": ""}], "row 2: price is 'dear'"),
        ([{"price": 1, "user": "a"}], "no row has a value 'tags'"),
        ([], "at least 1"),
        ([3], "body.rows.0: Input should be an object"),
    ],
)
def test_what_cannot_be_read_is_told(address: str, rows: list[Any], told: str) -> None:
    status, answer = ask(address, {"rows": rows})
    assert status == 422
    assert told in str(answer["detail"])


@pytest.mark.parametrize("body", [b"rows", b'{"rows": [NaN]}', b'{"rows": Infinity}', b'{"rows": ["\\ud800"]}'])
def test_what_is_no_request_is_refused(address: str, body: bytes) -> None:
    status, answer = ask(address, body)
    assert status == 422
    assert answer["detail"].startswith("body")


def test_a_request_of_too_many_rows_is_refused_without_repeating_it(address: str) -> None:
    status, answer = ask(address, {"rows": [{"user": "a"}] * 10_001})
    assert status == 422
    assert "at most 10000" in answer["detail"]
    assert len(answer["detail"]) < 200


@pytest.mark.parametrize("about", ["Content-Length: 50000000", "Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(address: str, about: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    head = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: application/json", about, "", ""]
    part = b'{"rows":[{' + b'"key":0,' * 550_000
    assert 2**22 < len(part) < 2**23
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall("\r\n".join(head).encode())
        if "chunked" in about:
            client.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        answer = b""
        while not answer.endswith(b"}") and (more := client.recv(65536)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than 4,194,304 bytes; send fewer rows at once" in answer


def test_others_are_answered_while_many_keys_are_read(address: str) -> None:
    body = b'{"rows":[{%s}]}' % b",".join(b'"%d":0' % number for number in range(300_000))
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, address, body) for _ in range(2)]
        meanwhile = 0
        while not all(item.done() for item in asked):
            urllib.request.urlopen(f"{address}/health", timeout=30).close()
            meanwhile += 1
    assert meanwhile > 1
    for item in asked:
        status, answer = item.result()
        assert status == 422
        assert "at most 10000 items" in answer["detail"]


@pytest.mark.parametrize("port", [-1, 99999])
def test_a_port_that_cannot_be_is_one_line(folder: Path, port: int) -> None:
    process = start(folder / "model", port)
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 2
    assert line.startswith("service: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["127.0.0.1:8000", "rows.jsonl"], "no address"),
        (["http://127.0.0.1:9", "gone.jsonl"], "gone.jsonl: "),
        (["http://127.0.0.1:9", "empty.jsonl"], "empty.jsonl: no rows"),
        (["http://127.0.0.1:9", "rows.jsonl", "--rows-a-request", "0"], "1 or more"),
    ],
)
def test_what_the_load_test_cannot_do_is_told(folder: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    shutil.copy(folder / "rows.jsonl", tmp_path)
    (tmp_path / "empty.jsonl").touch()
    command = [sys.executable, SERVICE / "load_test.py", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert told in ended.stderr.splitlines()[-1]


def test_a_client_can_ask_what_to_send(folder: Path, address: str) -> None:
    with urllib.request.urlopen(f"{address}/model", timeout=30) as answer:
        model = json.load(answer)
    assert model["columns"] == {"price": "number", "user": "id", "tags": "list of ids"}
    assert model["id"] == Architecture.load(folder / "model" / "architecture.json").id


@pytest.mark.parametrize(("removed", "told"), [("model.onnx", "--format onnx"), ("schema.json", "no such file")])
def test_a_folder_that_cannot_be_served_is_one_line(folder: Path, tmp_path: Path, removed: str, told: str) -> None:
    shutil.copytree(folder / "model", tmp_path / "model")
    (tmp_path / "model" / removed).unlink()
    process = start(tmp_path / "model", 0)
    (line,) = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 2
    assert line.startswith("service: ")
    assert told in line

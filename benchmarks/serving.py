"""How long each exported form of a model takes for a batch: `python -m benchmarks.serving RUN`.

RUN is a finished run, or an exported model. All forms are exported anew, and timed in turns on the same random rows
with one thread; printed is the median of a batch in milliseconds. The module and the project begin with table rows as a
`KeyedJaggedTensor`, the program and ONNX Runtime with plain tensors.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torchrec import KeyedJaggedTensor

from recnas.data import Batch
from recnas.export import export_run, load
from recnas.export.onnx import input_names
from recnas.export.program import example_inputs
from recnas.features.schema import Schema

ROWS = (1, 64, 1024)
Inputs = tuple[torch.Tensor, ...]


def batch_of(schema: Schema, inputs: Inputs) -> Batch:
    """Plain tensors as a batch of the model."""
    dense, ids, *lists = inputs
    singles, rest, rows, lengths = iter(ids.unbind(1)), iter(lists), [], []
    for feature in schema.sparse:
        if feature.multi_valued:
            rows.append(next(rest))
            lengths.append(next(rest).diff())
        else:
            rows.append(next(singles))
            lengths.append(torch.ones(len(dense), dtype=torch.int64))
    keys = [feature.name for feature in schema.sparse]
    sparse = KeyedJaggedTensor(keys, torch.cat(rows), lengths=torch.cat(lengths))
    return Batch(dense, sparse, torch.zeros(len(dense)))


def module_call(folder: Path, inputs: Inputs) -> Callable[[], object]:
    model = load(folder)
    batch = batch_of(model.schema, inputs)
    return lambda: torch.sigmoid(model(batch))


def program_call(folder: Path, inputs: Inputs) -> Callable[[], object]:
    program = torch.export.load(folder / "program.pt2").module()
    return lambda: program(*inputs)


def onnx_call(folder: Path, inputs: Inputs) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    given = dict(zip(input_names([Schema.load(folder)]), (tensor.numpy() for tensor in inputs), strict=True))
    given = {entry.name: given[entry.name] for entry in session.get_inputs()}
    return lambda: session.run(None, given)


def project_call(folder: Path, inputs: Inputs) -> Callable[[], object]:
    sys.path.insert(0, str(folder / "torchrec"))
    serve = importlib.import_module("serve")
    model, batch = serve.load_model(), batch_of(Schema.load(folder), inputs)
    return lambda: serve.probabilities(model, batch.dense, batch.sparse)


def medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each call, made in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 3):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(listed) for name, listed in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder, or an exported model's")
    parser.add_argument("--repeats", type=int, default=200, help="turns (default: 200)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        whole = export_run(options.run, Path(made) / "whole", single=True, formats=["onnx", "torchrec"])
        small = export_run(whole, Path(made) / "small", formats=["onnx"], quantize=True)
        forms = {
            "module": (module_call, whole),
            "program": (program_call, whole),
            "ONNX": (onnx_call, whole),
            "TorchRec project": (project_call, whole),
            "program, int8": (program_call, small),
            "ONNX, int8": (onnx_call, small),
        }
        columns = []
        with torch.inference_mode():
            for rows in ROWS:
                inputs = example_inputs([Schema.load(whole)], rows)
                calls = {name: make(folder, inputs) for name, (make, folder) in forms.items()}
                columns.append(medians(calls, options.repeats))
    print(f"{'ms a batch of':<18}" + "".join(f"{rows:>10,}{'':>9}" for rows in ROWS))
    for name in forms:
        figures = (f"{column[name]:>10.3f} ({column[name] / column['module']:>5.2f}x)" for column in columns)
        print(f"{name:<18}" + " ".join(figures))
    print(f"medians of {options.repeats} in turns, one thread; in brackets: against the module")


if __name__ == "__main__":
    main()

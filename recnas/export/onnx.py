"""A model as an ONNX file, checked with ONNX Runtime against the model itself."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from recnas.export.program import Exportable, Rounded, example_inputs, export_program, quiet
from recnas.features.schema import Schema
from recnas.util.errors import InputError, RunError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CHECKED_ROWS = (1, 2, 64)
TOLERANCE = 1e-5
"""The largest difference of two probabilities that counts as equal."""
OUTPUT = "probability"


def check_onnx() -> None:
    """Checks beforehand what `save_onnx` would refuse.

    Raises:
        InputError: A package is not installed.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise InputError(f"--format onnx needs the package {missing[0]}; pip install 'recnas[onnx]' brings it")


def input_names(schemas: Sequence[Schema]) -> list[str]:
    """The names of the file's inputs, in the order of `program_inputs`; of several schemas with a number before."""
    names: list[str] = []
    for number, schema in enumerate(schemas, start=1):
        lists = [feature.name for feature in schema.lists]
        # A feature may be named `ids`; none of the file's own names has a dot.
        own = ["dense", "ids", *(f"{name}.{part}" for name in lists for part in ("rows", "offsets"))]
        names += own if len(schemas) == 1 else [f"{number}.{name}" for name in own]
    return names


def save_onnx(model: Exportable, path: Path, tables: Rounded | None = None) -> None:
    """Writes a finished model as ONNX and compares its probabilities with the model's on random rows.

    Args:
        model: The model, on the CPU, with its tables held whole.
        path: The file; what is too large for one file is put beside it.
        tables: The tables, rounded, that are written in the place of the model's; it must hold the same numbers.

    Raises:
        RunError: ONNX Runtime computes other probabilities.
        OSError: The file cannot be written.
    """
    import onnxruntime

    program = export_program(model, tables)
    with quiet(), _silent("torch.onnx", "onnxscript", "onnx_ir"):
        torch.onnx.export(
            program,
            f=os.fspath(path),
            input_names=(names := input_names(model.schemas)),
            output_names=[OUTPUT],
            dynamo=True,
            verbose=False,
            external_data=_too_large(program),
        )
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    own = program.module()
    for rows in CHECKED_ROWS:
        inputs = example_inputs(model.schemas, rows, seed=rows)
        with torch.inference_mode():
            expected = own(*inputs)
        given = dict(zip(names, (tensor.numpy() for tensor in inputs), strict=True))
        # What no feature feeds is no input of the file.
        wanted = {entry.name for entry in session.get_inputs()}
        found = torch.from_numpy(session.run(None, {name: given[name] for name in given if name in wanted})[0])
        if not torch.allclose(found, expected, rtol=0, atol=TOLERANCE):
            apart = (found - expected).abs().max().item()
            raise RunError(f"{path}: ONNX Runtime's probabilities are up to {apart:.2g} from the model's")


def _too_large(program: torch.export.ExportedProgram) -> bool:
    """Whether the weights do not fit into one file, which may have 2 GiB."""
    return sum(tensor.nbytes for tensor in program.state_dict.values()) > 1_900_000_000


class _silent:
    """Keeps remarks of the exporter's loggers from the user; errors still come as exceptions."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *error: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)

"""A searched model as a TorchRec project of its own: plain Python to read and edit, without recnas."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from recnas.export.network_code import NetworkCode
from recnas.export.record import TrainingRecord
from recnas.export.rows_code import RowsCode, example_lines
from recnas.export.templates import render
from recnas.nn.model import CTRModel
from recnas.train.checkpoint import save_tensors
from recnas.train.loop import FIELDS_SHARE_OF_CLIP

FOLDER = "torchrec"
FILES = ("model.py", "data.py", "train.py", "rows.py", "serve.py", "README.md", "requirements.txt")
"""What is written from a template of that name."""


def write_project(folder: Path, model: CTRModel, record: TrainingRecord) -> None:
    """Writes the project of a searched model: its code, `schema.json` and `weights.safetensors`.

    Args:
        folder: The folder to make.
        model: The model, on the CPU, with its tables held whole.
        record: How it was trained; the project trains with the same settings.

    Raises:
        RunError: The weights cannot be written.
        OSError: Another file cannot be written.
    """
    code = NetworkCode(model.network)
    rows_code = RowsCode(model.schema) if model.schema.unreadable is None else None
    folder.mkdir()
    for name in FILES:
        text = render(
            name,
            id=model.network.architecture.id,
            num_dense=model.schema.num_dense,
            tables=model.schema.sparse,
            unreadable=model.schema.unreadable,
            code=rows_code,
            example=example_lines(model.schema),
            dim=model.embeddings.dim,
            blocks=code.blocks,
            helpers=code.helpers,
            settings=asdict(record.recipe.optimization),
            warmup_share=record.recipe.optimization.lr_warmup_share,
            fields_share_of_clip=FIELDS_SHARE_OF_CLIP,
            versions={name: version(name).partition("+")[0] for name in ("torch", "torchrec")},
        )
        (folder / name).write_text(text, encoding="utf-8")
    model.schema.save(folder)
    save_tensors(folder / "weights.safetensors", project_tensors(model, code))
    (folder / "weights.safetensors").chmod((folder / "model.py").stat().st_mode)


def project_tensors(model: CTRModel, code: NetworkCode) -> dict[str, Tensor]:
    """The weights under the names of the written `ClickModel`."""
    tables = {
        f"embeddings.embedding_bags.table_{place}.weight": table
        for place, table in enumerate(model.embeddings.tables().values())
    }
    return tables | {f"network.{name}": tensor.clone() for name, tensor in code.weights.items()}

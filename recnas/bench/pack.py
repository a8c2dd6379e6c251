"""What a table's folder has so far, as one Parquet file and a card that says what it is."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recnas.bench.card import card_of
from recnas.bench.columns import FIGURES, FORMAT, KEY, SCORE
from recnas.bench.folder import CARD, SPACE, TABLE, TRAININGS
from recnas.bench.settings import TableSettings
from recnas.bench.space import TableSpace
from recnas.candidates.candidate import network_id_in
from recnas.features.schema import SPLITS, Schema
from recnas.runs.folder import CONFIG, begun_with, read_config
from recnas.study.folder import SCORES
from recnas.util import bench_forms, study_forms
from recnas.util.errors import InputError
from recnas.util.files import read_json, read_json_lines, replacing, write_text


def pack(run: Path | str, output: Path | None = None) -> Path:
    """Writes what a table has so far; trainings and scores that are still to come may be added later.

    Args:
        run: The folder of `recnas bench build`.
        output: The Parquet file; None: `table.parquet` in that folder. The card is beside it.

    Returns:
        The file.

    Raises:
        InputError: The folder is no table's, damaged, or has no training yet.
        RunError: The file cannot be written.
    """
    run = Path(run)
    config = begun_with(run, TableSettings.command)
    if config is None:
        raise InputError(f"{run} is not the folder of a table; `recnas bench build` makes one")
    settings = TableSettings.known_in(config, str(run / CONFIG))
    trainings = read_json_lines(run / TRAININGS, bench_forms.TrainingLine)
    if not trainings:
        raise InputError(f"{run} has no training yet; go on with `recnas bench build … --resume`")
    scores = read_json_lines(run / SCORES, study_forms.StudyScores)
    space = TableSpace.from_json(read_json(run / SPACE, form=bench_forms.Space))
    schema, written = Schema.load(run), read_config(run)
    about = {
        "format": FORMAT,
        "data": Path(settings.data).resolve().name,
        "source": schema.source,
        "rows": {split: schema.rows(split) for split in SPLITS},
        "positive_rate": schema.positive_rate("test"),
        "varies": settings.varies,
        "space": space.to_json(),
        "settings": _told(settings.to_mapping()),
        "seeds": max(line["seed"] for line in trainings) + 1,
        "created": written["created"],
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "recnas": written["version"],
    }
    file = run / TABLE if output is None else output
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, trainings, scores, about)
    write_text(file.with_name(CARD) if output is None else file.with_suffix(".md"), card_of(file))
    return file


def _write(
    file: Path, trainings: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A candidate's seeds stand together, candidates in the order in which they were drawn.
    lines = sorted(trainings, key=lambda line: (line["place"], line["seed"]))
    columns: dict[str, pa.Array] = {
        "id": pa.array([line["id"] for line in lines]),
        "candidate": pa.array([json.dumps(line["candidate"], separators=(",", ":")) for line in lines]),
        "seed": pa.array([line["seed"] for line in lines], pa.int16()),
        "macs": pa.array([line["macs"] for line in lines], pa.int64()),
        "parameters": pa.array([line["parameters"] for line in lines], pa.int64()),
        "latency_ms": pa.array([line["latency_ms"] for line in lines], pa.float32()),
        "seconds": pa.array([line["seconds"] for line in lines], pa.float32()),
        "diverged": pa.array([line["diverged"] for line in lines], pa.string()),
    }
    for split, name in FIGURES:
        found = [None if line[split] is None else line[split][name] for line in lines]
        columns[f"{split}_{name}"] = pa.array(found, pa.float64())
    for name, kind in (("fidelity", pa.float32()), ("rows", pa.int64()), ("seconds", pa.float32())):
        columns[f"stop_{name}"] = pa.array([[stop[name] for stop in line["stops"]] for line in lines], pa.list_(kind))
    planned = [[stop["planned"] for stop in line["stops"]] for line in lines]
    columns["stop_planned"] = pa.array(planned, pa.list_(pa.bool_()))
    for split, name in FIGURES:
        found = [[stop[split][name] for stop in line["stops"]] for line in lines]
        columns[f"stop_{split}_{name}"] = pa.array(found, pa.list_(pa.float32()))
    by_name: dict[str, dict[str, float | None]] = {}
    for scored in scores:
        for name, value in scored["values"].items():
            by_name.setdefault(f"{SCORE}:{scored['warmup']:g}:{name}", {})[scored["id"]] = value
    # An architecture was scored under its network's id.
    networks = [network_id_in(line["id"]) for line in lines]
    for name, values in sorted(by_name.items()):
        found = [values.get(line["id"], values.get(network)) for line, network in zip(lines, networks, strict=True)]
        columns[name] = pa.array(found, pa.float32())
    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(about).encode()})
    with replacing(file) as partial:
        pq.write_table(table, partial, compression="zstd", compression_level=19)


def _told(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without what is of this machine."""
    return {name: value for name, value in settings.items() if name not in ("data", "run", "workers", "ray")}


def _processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")

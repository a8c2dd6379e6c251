"""Rows a second of training, beside DeepCTR-Torch, FuxiCTR and plain PyTorch; and where a step's time goes.

    pip install --no-deps --target build/rivals/deepctr-torch deepctr-torch==0.3.0
    pip install --no-deps --target build/rivals/fuxictr fuxictr==2.3.10 h5py
    pip install -e ".[ray]"
    python benchmarks/training.py speed          # all models, 0.1 and 5 million rows, one thread and two
    python benchmarks/training.py speed --models deepfm --rows 100000 --threads 1 --optimizers adam
    python benchmarks/training.py parts          # where a step of recnas spends its time

All train the same networks: embeddings of 16 columns; DeepFM with three layers of 400, DCN-V2 with three full cross
layers beside two of 768, DLRM with 512-256-64 below and 512-256 above; the same dropout after hidden layers. Each
counts its own multiply-accumulates, which the table shows. All have the same rows of a synthetic log of Criteo's shape,
the same batch size, and the same optimiser for all weights; none has a penalty, but with --penalty all have. Where
FuxiCTR is compared, numbers are fields (a vector times the value) and the gradient's norm is bounded, as FuxiCTR always
does; where DeepCTR-Torch is, numbers are columns, and no bound is. Each library feeds its rows by its own loader.

`plain` has dense gradients of the tables, as nn.Embedding has them, and torch's fused optimiser; `plain-sparse` has
nn.Embedding(sparse=True) with SparseAdam or Adagrad. Their rows lie in memory and are shuffled by a permutation.

Every measurement is a process of its own, pinned to as many cores as it has threads. The libraries take turns, so that
whatever else the machine does falls on all of them; tables show medians. What was measured is kept in --output and not
measured again. `parts` takes shares of time from torch's profiler; the share of the matrix rate is that of the training
without it: three products for each of the forward pass, against products of two matrices of 1,024 rows and columns.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from trainers.case import Case, Clock, Finished, Log

MODULES = {
    "recnas": "ours",
    "deepctr-torch": "deepctr",
    "fuxictr": "fuxi",
    "plain": "plain",
    "plain-sparse": "plain",
}
MODELS = ("deepfm", "dcnv2", "dlrm")
TITLES = {"deepfm": "DeepFM", "dcnv2": "DCN-V2", "dlrm": "DLRM"}
ROWS = (100_000, 5_000_000)
SMALL_TABLES = 20_000
"""The largest table of the small log, about the ids that come in so many rows; those of the large one are whole."""
TRAINING_SHARE = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("build/training"), help="logs and results (%(default)s)")
    parser.add_argument("--rivals", type=Path, default=Path("build/rivals"), help="where they were installed")
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed", help="rows a second of all libraries")
    parts = commands.add_parser("parts", help="where a step of recnas spends its time")
    speed.add_argument("--libraries", nargs="+", default=list(MODULES), choices=list(MODULES))
    for command in (speed, parts):
        command.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
        command.add_argument("--rows", nargs="+", type=int, default=ROWS, help="training rows")
        command.add_argument("--threads", nargs="+", type=int, default=(1, 2))
        command.add_argument("--optimizers", nargs="+", default=("adam", "adagrad"), choices=("adam", "adagrad"))
        command.add_argument("--batch-size", type=int, default=1024)
        command.add_argument("--penalty", type=float, default=0.0, help="of the embeddings (%(default)s)")
        command.add_argument("--dropout", type=float, default=0.2, help="of hidden layers (%(default)s)")
        command.add_argument("--repeat", type=int, default=3, help="turns (%(default)s)")
        command.add_argument("--seconds", type=float, default=8.0, help="of a measurement, at least (%(default)s)")
        command.add_argument(
            "--busy",
            action="store_true",
            help="for a machine that others use meanwhile: rows a second of the process's processor time, on any core",
        )
    one = commands.add_parser("one")
    one.add_argument("what", choices=("speed", "parts"))
    one.add_argument("case", type=json.loads)
    one.add_argument("--seconds", type=float)
    one.add_argument("--busy", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "one":
        measure(Case(**arguments.case), arguments)
        return
    is_speed = arguments.command == "speed"
    known = Results(arguments.output / f"{arguments.command}.jsonl")
    cases = list(compared(arguments) if is_speed else alone(arguments))
    for rows in dict.fromkeys(case.rows for case in cases):
        make_log(arguments.output, rows)
    for turn in range(arguments.repeat):
        for case in cases:
            if len(known.of(case)) <= turn:
                known.add(case, run(case, arguments))
    print((speed_table if is_speed else parts_table)(cases, known, arguments.busy))


def settings(arguments: argparse.Namespace) -> Iterator[Case]:
    """Each model in each setting, by recnas."""
    for rows, threads, optimizer, model in itertools.product(
        arguments.rows, arguments.threads, arguments.optimizers, arguments.models
    ):
        yield Case(
            "recnas",
            model,
            "columns",
            optimizer,
            rows,
            threads,
            arguments.batch_size,
            penalty=arguments.penalty,
            dropout=arguments.dropout,
        )


def compared(arguments: argparse.Namespace) -> Iterator[Case]:
    """What `speed` measures; those whose settings are equal in succession."""
    for case in settings(arguments):
        is_dlrm = case.model == "dlrm"
        rivals = ["plain", "plain-sparse"] if is_dlrm else ["deepctr-torch", "plain", "plain-sparse"]
        groups = [
            (["recnas", *rivals], case),
            # FuxiCTR has numbers as fields and bounds gradients, always; of DLRM numbers are read as they are.
            (["recnas", "fuxictr"], replace(case, numbers="columns" if is_dlrm else "fields", clipped=True)),
        ]
        for libraries, setting in groups:
            for library in libraries:
                if library in arguments.libraries:
                    yield replace(setting, library=library)


def alone(arguments: argparse.Namespace) -> Iterator[Case]:
    """What `parts` measures."""
    return settings(arguments)


class Results:
    """What was measured, a line each in a file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.found = [(Case(**item["case"]), item["result"]) for item in map(json.loads, lines)]

    def of(self, case: Case) -> list[dict[str, float]]:
        """All measurements of a case."""
        return [result for known, result in self.found if known == case]

    def median(self, case: Case, name: str) -> float | None:
        """The median of one number, None if there is none."""
        found = [result[name] for result in self.of(case)]
        return statistics.median(found) if found else None

    def add(self, case: Case, result: dict[str, float]) -> None:
        self.found.append((case, result))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"case": asdict(case), "result": result}) + "\n")


def make_log(output: Path, rows: int) -> Path:
    """The training rows as a data set and as arrays, in a folder of their own; made once."""
    folder = output / f"log-{rows}"
    if (folder / "tables.json").exists():
        return folder
    import numpy as np

    from recnas.data import Dataset

    folder.mkdir(parents=True, exist_ok=True)
    prepare = ["recnas", "prepare", "synthetic", "--output", folder / "data", "--overwrite", "--quiet"]
    subprocess.run([sys.executable, "-m", *prepare, "--rows", str(round(rows / TRAINING_SHARE))], check=True)
    dataset = Dataset(folder / "data")
    schema = dataset.schema.capped(SMALL_TABLES if rows <= ROWS[0] else None)
    parts = list(dataset.batches("train", 65_536, max_rows_per_table=max(feature.rows for feature in schema.sparse)))
    np.save(folder / "dense.npy", np.concatenate([part.dense.numpy() for part in parts]))
    ids = [part.sparse.values().view(len(schema.sparse), -1).t().numpy().astype(np.int32) for part in parts]
    np.save(folder / "ids.npy", np.concatenate(ids))
    np.save(folder / "label.npy", np.concatenate([part.label.numpy() for part in parts]))
    (folder / "tables.json").write_text(json.dumps([feature.rows for feature in schema.sparse]), encoding="utf-8")
    return folder


def run(case: Case, arguments: argparse.Namespace) -> dict[str, float]:
    """Measures a case in a process of its own."""
    shared = ["--output", arguments.output, "--rivals", arguments.rivals]
    command = [*shared, "one", arguments.command, json.dumps(asdict(case)), "--seconds", arguments.seconds]
    if arguments.busy:
        command.append("--busy")
    threads = {name: str(case.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    rival = [str((arguments.rivals / case.library).resolve())] if case.library in ("deepctr-torch", "fuxictr") else []
    done = subprocess.run(
        [sys.executable, __file__, *map(str, command)],
        env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(rival)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{case}: {result['rows_per_second']:,.0f} rows/s", file=sys.stderr, flush=True)
    return result


def measure(case: Case, arguments: argparse.Namespace) -> None:
    """Measures a case in this process, and prints the result."""
    cores = sorted(os.sched_getaffinity(0))[-case.threads :]
    if len(cores) < case.threads:
        sys.exit(f"{case.threads} threads need as many cores, here are {len(cores)}")
    if not arguments.busy:
        os.sched_setaffinity(0, cores)
    import torch

    torch.set_num_threads(case.threads)
    clock, log = Clock(arguments.seconds), Log.open(arguments.output / f"log-{case.rows}")
    if arguments.what == "parts":
        print(json.dumps(importlib.import_module("trainers.parts").measure(case, log, clock)))
        return
    module = importlib.import_module(f"trainers.{MODULES[case.library]}")
    with contextlib.suppress(Finished):
        module.train(case, log, clock)
    print(json.dumps(clock.result()))


def speed_table(cases: Sequence[Case], known: Results, busy: bool) -> str:
    """Medians of rows a second of all libraries."""
    measure = "rows_per_processor_second" if busy else "rows_per_second"
    rivals = [library for library in MODULES if library != "recnas"]
    lines = []
    for case in cases:
        if case.library != "recnas":
            continue
        found = {library: known.median(replace(case, library=library), measure) for library in MODULES}
        macs = {known.median(replace(case, library=library), "macs") for library in MODULES} - {None}
        fastest = max((found[library] or 0 for library in rivals), default=0)
        lines.append(
            [
                f"{case.rows:,}",
                str(case.threads),
                case.optimizer,
                f"{TITLES[case.model]}, {case.numbers}{', clipped' if case.clipped else ''}",
                " ".join(dict.fromkeys(f"{value / 1e6:.2f}M" for value in sorted(macs))),
                *(f"{found[library]:,.0f}" if found[library] else "-" for library in MODULES),
                f"{found['recnas'] / fastest:.2f}" if fastest and found["recnas"] else "-",
            ]
        )
    return as_table(["rows", "threads", "optimiser", "model", "MACs", *MODULES, "recnas / fastest other"], lines)


def parts_table(cases: Sequence[Case], known: Results, busy: bool) -> str:
    """Medians of the shares of a step."""
    from trainers.parts import PARTS, PRODUCTS

    lines = []
    for case in cases:
        rows = known.median(case, "rows_per_processor_second" if busy else "rows_per_second")
        lines.append(
            [
                f"{case.rows:,}",
                str(case.threads),
                case.optimizer,
                TITLES[case.model],
                f"{rows:,.0f}",
                *(f"{known.median(case, name):.1%}" for name in (*PARTS, PRODUCTS, "of_matrix_rate")),
                f"{known.median(case, 'matrix_rate') / 1e9:.1f}",
            ]
        )
    titles = ["rows", "threads", "optimiser", "model", "rows/s", *PARTS, PRODUCTS, "of matrix rate", "GMAC/s a core"]
    return as_table(titles, lines)


def as_table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in the form of Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *lines))


if __name__ == "__main__":
    main()

"""Times `recnas prepare` on Criteo's and KDD's form against copies of the same text, each in a process of its own.

    python -m benchmarks.preparation                             # 5 million rows, three times each
    python -m benchmarks.preparation --rows 200000 --repeat 1 --memory-rows 100000 200000

The copy is Polars': text to Parquet as it stands, nothing parsed but what Polars infers. The plain splitter does line
by line in Python what NASRec's public one does: it reads the labels, keeps the ids, and writes each line to its split.
The processes take turns; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedKFold

from benchmarks.raw_logs import criteo_log, kdd_log
from recnas.data_prep import prepare
from recnas.data_prep.split import NUM_FOLDS, SEED

FULL_ROWS = {"criteo": 45_840_617, "avazu": 40_428_967, "kdd": 149_639_105}
"""Rows of the published files."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of each log")
    parser.add_argument("--profiles", type=int, default=1_000_000, help="user profiles of KDD's form")
    parser.add_argument(
        "--plain-rows", type=int, default=1_000_000, help="rows for the plain splitter, which keeps them"
    )
    parser.add_argument("--memory-rows", type=int, nargs="*", default=(2_000_000, 10_000_000), help="sizes to compare")
    parser.add_argument("--repeat", type=int, default=3, help="times each")
    parser.add_argument("--folder", type=Path, help="where the logs are written and kept; default: a temporary one")
    # What a process of its own does; not for users.
    parser.add_argument("--task", nargs=3, metavar=("NAME", "INPUT", "OUTPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        _run_task(*options.task)
        return
    with tempfile.TemporaryDirectory() as temporary:
        _compare(options, options.folder or Path(temporary))


def _compare(options: argparse.Namespace, folder: Path) -> None:
    criteo = criteo_log(folder, options.rows)
    kdd = kdd_log(folder, options.rows, options.profiles)
    plain = criteo_log(folder, options.plain_rows)
    rounds = [
        {
            "criteo copy": _in_a_process("copy-criteo", criteo, folder),
            "criteo": _in_a_process("criteo", criteo, folder),
            "criteo plain": _in_a_process("plain", plain, folder),
            "kdd copy": _in_a_process("copy-kdd", kdd, folder),
            "kdd": _in_a_process("kdd", kdd, folder),
        }
        for _ in range(options.repeat)
    ]

    def median(name: str, key: str) -> float:
        return statistics.median(one[name][key] for one in rounds)

    def ratio(name: str, other: str) -> float:
        return statistics.median(one[name]["seconds"] / one[other]["seconds"] for one in rounds)

    print(f"{'':<30} {'rows':>11} {'seconds':>8} {'rows/s':>10} {'peak MB':>8}")
    for name, title, rows in (
        ("criteo copy", "Criteo form, Polars copies", options.rows),
        ("criteo", "Criteo form, recnas prepare", options.rows),
        ("criteo plain", "Criteo form, plain splitter", options.plain_rows),
        ("kdd copy", "KDD form, Polars copies", options.rows),
        ("kdd", "KDD form, recnas prepare", options.rows),
    ):
        seconds = median(name, "seconds")
        print(f"{title:<30} {rows:>11,} {seconds:>8.1f} {rows / seconds:>10,.0f} {median(name, 'megabytes'):>8,.0f}")
    per_row = options.rows / options.plain_rows
    print(f"\nCriteo form: {ratio('criteo', 'criteo copy'):.2f} times the copy's time, ", end="")
    print(f"{ratio('criteo plain', 'criteo') * per_row:.1f} times as many rows a second as the plain splitter")
    print(f"KDD form, {options.profiles:,} profiles: {ratio('kdd', 'kdd copy'):.2f} times the copy's time")
    for name, like in (("criteo", "criteo"), ("avazu", "criteo"), ("kdd", "kdd")):
        minutes = FULL_ROWS[name] * median(like, "seconds") / options.rows / 60
        print(f"expected for the full {name} ({FULL_ROWS[name]:,} rows, at {like}'s pace): {minutes:.0f} min")
    for rows in options.memory_rows:
        peak = _in_a_process("criteo", criteo_log(folder, rows), folder)["megabytes"]
        print(f"peak memory at {rows:,} rows of Criteo form: {peak:,.0f} MB")


def _in_a_process(task: str, input: Path, folder: Path) -> dict[str, float]:
    """A task's seconds, without the start of Python, and its process's peak memory."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        command = [sys.executable, "-m", "benchmarks.preparation", "--task", task, str(input), f"{output}/out"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _run_task(name: str, input: str, output: str) -> None:
    start = time.perf_counter()
    TASKS[name](Path(input), Path(output))
    seconds = time.perf_counter() - start
    # Linux counts in KiB.
    print(json.dumps({"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def _copy(input: Path, output: Path) -> None:
    output.mkdir()
    for path in sorted(input.iterdir()) if input.is_dir() else [input]:
        text = pl.scan_csv(path, separator="\t", has_header=False, quote_char=None)
        text.sink_parquet(output / f"{path.name}.parquet")


def _plain(input: Path, output: Path) -> None:
    output.mkdir()
    labels, ids = [], []
    with input.open(encoding="utf-8") as file:
        for line in file:
            fields = line.split("\t")
            labels.append(int(fields[0]))
            ids.append(fields[14:])
    folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=SEED).split(np.zeros(len(labels)), np.array(labels))
    members = [fold for _, fold in folds]
    # The line numbers of each split in order, and how far each has been written.
    wanted = [np.sort(np.concatenate(part)) for part in (members[:8], members[8:9], members[9:])]
    cursors = [0, 0, 0]
    files = [(output / name).open("w", encoding="utf-8") for name in ("train.txt", "validation.txt", "test.txt")]
    with input.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            for part in range(3):
                if number == wanted[part][cursors[part]]:
                    files[part].write(line)
                    cursors[part] = min(cursors[part] + 1, len(wanted[part]) - 1)
    for file in files:
        file.close()


TASKS: dict[str, Callable[[Path, Path], object]] = {
    "copy-criteo": _copy,
    "copy-avazu": _copy,
    "copy-kdd": _copy,
    "criteo": lambda input, output: prepare("criteo", output, input, progress=False),
    "kdd": lambda input, output: prepare("kdd", output, input, progress=False),
    "plain": _plain,
}


if __name__ == "__main__":
    main()

"""Do time and memory grow with rows and columns, and no faster, on tables of unusual shapes?

    python -m benchmarks.shapes --output runs/shapes                              all shapes, two or three sizes each
    python -m benchmarks.shapes --output runs/shapes --shapes ids --sizes 5000000 20000000 --steps prepare load

| shape | what grows |
| --- | --- |
| columns | columns, half of them numbers and half ids, of 8,000 rows |
| wide-rows | rows of 2,000 such columns |
| once | rows of a column of ids of which hardly any comes twice |
| ids | rows of a column of ids that come twice each on the mean |
| lists | rows of a list of 1,000 ids each |
| files | Parquet files of 1,000 rows each; the data set is then cut into as many parts |
| long-parts | parts of 1,000,000 rows in one row group, of a data set of 40 columns |

Each table is made, prepared, described, and gone through once shuffled as a model is fed it; then a supernet is warmed
up on 4,096 rows, two candidates are scored, one is trained and exported. Every step is a process of its own. Seconds
are those of the processor, all threads together, as other work on the machine makes the clock's longer. The last column
is the power of the size by which a step's time grew since the size before: 1 is linear, 0 is none.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.rehearsal.measuring import size_of

BATCH = 4096
ROWS_OF_COLUMNS, WIDE = 8_000, 2_000
FILE_ROWS, PART_ROWS = 1_000, 1_000_000
AT_ONCE = 500_000
TINY = [
    *("--strategy", "evolution", "--space", "nasrec-small", "--workers", "1", "--quiet", "--overwrite"),
    *("--population", "2", "--iterations", "1", "--children", "1", "--tournament", "1", "--top-k", "1"),
    *("--train-rows", "4096", "--warmup", "1", "--probe-candidates", "0", "--epochs", "1", "--ensemble", "1"),
    *("--proxy-batches", "2", "--proxy-batch-size", "64"),
]
"""What makes a search a tiny one."""


@dataclass(frozen=True)
class Shape:
    """A kind of table.

    Attributes:
        make: Writes one of a size into a folder; gives what `prepare` is told.
        sizes: What is measured where nothing else is said.
        searches: Whether it is searched and exported, too.
        cells: Of a size, for the seconds of each.
        part_rows: Rows of a part of its data set, which is cut anew; 0: as it is.
    """

    make: Callable[[int, Path], list[str]]
    sizes: tuple[int, ...]
    cells: Callable[[int], int]
    searches: bool = True
    part_rows: int = 0


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, metavar="DIR", help="where all of it lies; removed size by size")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="default: each shape's own")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    # What a process of its own does; not for users.
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.load:
        _load(given.load)
        return
    if given.output is None:
        parser.error("--output is needed")
    print("| shape | size | step | seconds | µs a cell | peak memory, GB | on the disk, GB | growth |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in given.shapes:
        before: dict[str, tuple[int, float]] = {}
        for size in given.sizes or SHAPES[name].sizes:
            folder = given.output / f"{name}-{size}"
            shutil.rmtree(folder, ignore_errors=True)
            for step, taken in _steps(SHAPES[name], size, folder, given.steps):
                growth = ""
                if step in before:
                    smaller, seconds = before[step]
                    growth = f"{math.log(taken.seconds / seconds) / math.log(size / smaller):.2f}"
                before[step] = size, taken.seconds
                each = 1e6 * taken.seconds / SHAPES[name].cells(size)
                disk = size_of(folder / step) / 1e9
                print(
                    f"| {name} | {size:,} | {step} | {taken.seconds:.1f} | {each:.3g} | {taken.peak / 1e9:.2f} | "
                    f"{disk:.2f} | {growth} |",
                    flush=True,
                )
            shutil.rmtree(folder)


@dataclass(frozen=True)
class _Taken:
    """Seconds of the processor and bytes of memory that a process took."""

    seconds: float
    peak: int


def _steps(shape: Shape, size: int, folder: Path, wanted: Sequence[str]) -> Iterator[tuple[str, _Taken]]:
    """Does the steps, the first one even if it is not wanted; gives those that are."""
    folder.mkdir(parents=True)
    told = shape.make(size, folder)
    data, run, model = folder / "prepare", folder / "search", folder / "export"
    recnas = [sys.executable, "-m", "recnas"]
    commands = {
        "prepare": [*recnas, "prepare", "tabular", *told, "--label", "click", "--output", str(data)],
        "describe": [*recnas, "describe", str(data)],
        "load": [sys.executable, "-m", "benchmarks.shapes", "--load", str(data)],
    }
    if shape.searches:
        commands["search"] = [*recnas, "search", "--data", str(data), "--run", str(run), *TINY]
        commands["export"] = [*recnas, "export", str(run), "--output", str(model)]
    if "export" in wanted:
        wanted = [*wanted, "search"]
    for step, command in commands.items():
        if step == "prepare" or step in wanted:
            taken = _taken(command, folder / "log.txt")
            if step == "prepare" and shape.part_rows:
                _cut(data / "train", shape.part_rows)
            yield step, taken


def _taken(command: Sequence[str], log: Path) -> _Taken:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        sys.exit(f"benchmarks.shapes: {' '.join(command)} ended with {code}:\n" + "\n".join(lines))
    # Linux counts in KiB.
    return _Taken(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _load(path: Path) -> None:
    """One pass over the training rows, as a model is fed them."""
    from recnas.candidates.defaults import DEFAULT_INPUTS
    from recnas.data import Dataset, fit_inputs

    dataset = Dataset(path)
    for _ in dataset.fed(fit_inputs(dataset, DEFAULT_INPUTS)).batches("train", BATCH, seed=0):
        pass


def _cut(folder: Path, rows: int) -> None:
    """Writes a split anew in parts of so many rows, each of which is one row group."""
    whole = pl.concat([pl.read_parquet(path) for path in sorted(folder.iterdir())])
    shutil.rmtree(folder)
    folder.mkdir()
    for number, part in enumerate(whole.iter_slices(rows)):
        part.write_parquet(folder / f"part-{number:05d}.parquet", compression="lz4", row_group_size=rows)


def _table(rows: int, columns: int, seed: int = 0) -> pl.DataFrame:
    """Clicks that a number and an id have a say in; half of the columns are numbers, the others ids."""
    rng = np.random.default_rng(seed)
    numbers, ids = rng.normal(size=(rows, columns // 2)).round(3), rng.zipf(1.3, (rows, columns - columns // 2)) % 1000
    clicks = numbers[:, 0] + (ids[:, 0] % 7 == 1) + rng.normal(size=rows) > 1
    named = {f"n{place}": numbers[:, place] for place in range(numbers.shape[1])}
    named |= {f"c{place}": ids[:, place] for place in range(ids.shape[1])}
    return pl.DataFrame({"click": clicks.astype(np.int8), **named})


def _roles(columns: int) -> list[str]:
    numbers, ids = columns // 2, columns - columns // 2
    return [
        *("--dense", *(f"n{place}" for place in range(numbers))),
        *("--sparse", *(f"c{place}" for place in range(ids))),
    ]


def _columns(columns: int, folder: Path) -> list[str]:
    return _csv(ROWS_OF_COLUMNS, columns, folder)


def _wide_rows(rows: int, folder: Path) -> list[str]:
    return _csv(rows, WIDE, folder)


def _csv(rows: int, columns: int, folder: Path) -> list[str]:
    path = folder / "table.csv"
    with path.open("wb") as file:
        for start in range(0, rows, 4_000):
            part = _table(min(4_000, rows - start), columns, seed=start)
            part.write_csv(file, include_header=start == 0)
    return ["--input", str(path), *_roles(columns)]


def _ids(values_a_row: float, rows: int, folder: Path) -> list[str]:
    """Parquet with a column of ids, drawn from so many values for each row."""
    rng, tables = np.random.default_rng(0), folder / "table"
    tables.mkdir()
    for number, start in enumerate(range(0, rows, AT_ONCE)):
        size = min(AT_ONCE, rows - start)
        users = pl.Series("user", rng.integers(int(values_a_row * rows), size=size))
        # Words are hashed, which whole numbers are not.
        part = _table(size, 4, seed=start).with_columns(pl.format("u{}", users).alias("user"))
        part.write_parquet(tables / f"{number:05d}.parquet")
    return ["--input", str(tables), *_roles(4), "user"]


def _lists(rows: int, folder: Path) -> list[str]:
    rng, path = np.random.default_rng(0), folder / "table.csv"
    table = _table(rows, 4)
    with path.open("wb") as file:
        for start in range(0, rows, 1_000):
            part = table[start : start + 1_000]
            ids = rng.zipf(1.2, (len(part), 1_000)) % 100_000
            part = part.with_columns(pl.Series("seen", ["|".join(map(str, row)) for row in ids.tolist()]))
            part.write_csv(file, include_header=start == 0)
    return ["--input", str(path), *_roles(4), "--multi", "seen"]


def _files(files: int, folder: Path) -> list[str]:
    tables = folder / "table"
    tables.mkdir()
    for number in range(files):
        _table(FILE_ROWS, 20, seed=number).write_parquet(tables / f"{number:05d}.parquet")
    return ["--input", str(tables), *_roles(20)]


def _long_parts(rows: int, folder: Path) -> list[str]:
    tables = folder / "table"
    tables.mkdir()
    for number, start in enumerate(range(0, rows, AT_ONCE)):
        _table(min(AT_ONCE, rows - start), 40, seed=start).write_parquet(tables / f"{number:05d}.parquet")
    return ["--input", str(tables), *_roles(40)]


STEPS = ["prepare", "describe", "load", "search", "export"]
SHAPES = {
    "columns": Shape(_columns, (500, 1_000, 2_000), lambda columns: ROWS_OF_COLUMNS * columns),
    "wide-rows": Shape(_wide_rows, (8_000, 16_000, 32_000), lambda rows: rows * WIDE, searches=False),
    "once": Shape(lambda rows, folder: _ids(50, rows, folder), (5_000_000, 20_000_000), lambda rows: rows * 5),
    "ids": Shape(lambda rows, folder: _ids(0.5, rows, folder), (5_000_000, 20_000_000), lambda rows: rows * 5),
    "lists": Shape(_lists, (2_000, 4_000, 8_000), lambda rows: rows * 1_000),
    "files": Shape(_files, (100, 300, 1_000), lambda files: files * FILE_ROWS * 20, False, FILE_ROWS),
    "long-parts": Shape(_long_parts, (2_000_000, 4_000_000), lambda rows: rows * 40, False, PART_ROWS),
}

if __name__ == "__main__":
    main()

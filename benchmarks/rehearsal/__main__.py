"""Goes through the whole job on a log of Criteo's size: what does each stage take, and what comes of it when killed?

    python -m benchmarks.rehearsal --output runs/rehearsal                              # 20 million rows, hours
    python -m benchmarks.rehearsal --output runs/avazu --form avazu --rows 5000000
    python -m benchmarks.rehearsal --output runs/small --rows 200000 --budget 2m
    python -m benchmarks.rehearsal --output runs/rehearsal --table                      # of what has ended

Text is written in the form of the raw log; then come `prepare`, `describe`, `plan`, the published search, the default
one, their reports, exports in all formats, `evaluate`, and `train` by two processes, each a command as a user gives it.
Those that can be resumed are killed with SIGKILL, workers and all, somewhere in the middle of each of their stages, and
given again with --resume. What has ended is not done again when the benchmark is given again.

Memory is that of all processes of a command at one time, pages that they share counted once.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.raw_logs import avazu_log, criteo_log, kdd_log
from benchmarks.rehearsal.measuring import Taken, run, size_of
from recnas.runs.folder import CONFIG, FINAL_TRAINING, RESULTS, SEARCH, WARM_UP
from recnas.runs.status import read_status
from recnas.util.errors import InputError
from recnas.util.files import read_json, write_json

FORMS = ("criteo", "avazu", "kdd")
ROWS = 20_000_000
PROFILES_A_ROW = 0.4
MIDDLE = {WARM_UP: 0.5, SEARCH: 0.3, FINAL_TRAINING: 0.4}
"""The share of each stage after which a search is killed once."""
TAKEN = "taken.json"
LOG = "log.txt"


@dataclass
class Step:
    """A command of the job.

    Attributes:
        name: What the table calls it.
        command: As a user gives it, without the program's name.
        made: What it leaves.
        rows: Rows that it goes through, for a rate; 0: none.
        kills: Each tells when it is killed once, and given again; it has --resume from the start.
        program: What runs it.
    """

    name: str
    command: list[str]
    made: Path
    rows: int = 0
    kills: list[Callable[[], bool]] = field(default_factory=list)
    program: list[str] = field(default_factory=lambda: [sys.executable, "-m", "recnas"])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where all of it lies")
    parser.add_argument("--raw", type=Path, metavar="DIR", help="where raw logs lie (default: in the output)")
    parser.add_argument("--form", choices=FORMS, default="criteo")
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N")
    parser.add_argument("--budget", default="60m", help="of the default search")
    parser.add_argument("--top-k", type=int, default=1, metavar="N", help="finalists of the published search")
    parser.add_argument("--iterations", type=int, default=240, metavar="N", help="of the published search")
    parser.add_argument("--no-kills", action="store_true", help="nothing is killed")
    parser.add_argument(
        "--steps", nargs="+", metavar="STEP", help="those alone whose names begin so, such as prepare 'search, default'"
    )
    parser.add_argument("--table", action="store_true", help="do nothing, show what has ended")
    given = parser.parse_args(argv)
    given.output.mkdir(parents=True, exist_ok=True)
    raw_folder = given.raw or given.output
    raw_folder.mkdir(parents=True, exist_ok=True)
    taken = _Taken(given.output / TAKEN)
    raw = _raw(raw_folder, given.form, given.rows) if not given.table else raw_folder
    for step in [] if given.table else _steps(given, raw):
        if step.name in taken.steps or (given.steps and not step.name.startswith(tuple(given.steps))):
            continue
        print(f"{step.name} …", flush=True)
        found = _done(step, given.output / LOG, not given.no_kills)
        if found.code:
            sys.exit(f"benchmarks.rehearsal: {step.name} ended with {found.code}; {given.output / LOG} says why")
        taken.add(step, found)
    print(taken.table())


class _Taken:
    """What steps have taken so far, on the disk."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.steps: dict[str, dict] = read_json(file) if file.exists() else {}

    def add(self, step: Step, taken: Taken) -> None:
        self.steps[step.name] = taken.to_json() | {"rows": step.rows, "disk": size_of(step.made)}
        write_json(self._file, self.steps)

    def table(self) -> str:
        """As Markdown."""
        lines = [
            "| stage | seconds | rows a second | cores busy | peak memory, GB | on the disk, GB | killed |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name, step in self.steps.items():
            rate = f"{step['rows'] / step['seconds']:,.0f}" if step["rows"] else ""
            busy = "" if step["kills"] else f"{step['processor_seconds'] / step['seconds']:.1f}"
            lines.append(
                f"| {name} | {step['seconds']:,.0f} | {rate} | {busy} | "
                f"{step['peak'] / 1e9:.2f} | {step['disk'] / 1e9:.2f} | {step['kills'] or ''} |"
            )
        return "\n".join(lines)


def _done(step: Step, log: Path, kill: bool) -> Taken:
    command = [*step.program, *step.command, *(["--resume"] if step.kills else [])]
    taken: Taken | None = None
    for until in step.kills if kill else ():
        found = run(command, log, until)
        taken = found if taken is None else taken.and_then(found)
        if found.is_over:
            return taken
    found = run(command, log)
    return found if taken is None else taken.and_then(found)


def _steps(given: argparse.Namespace, raw: Path) -> Iterator[Step]:
    output, form, rows = given.output, given.form, given.rows
    data, published, default = output / "data", output / "published", output / "default"
    yield Step("copy of the text", [str(raw), str(output / "copy")], output / "copy", rows, program=["cp", "-r"])
    yield Step(
        "copy as Parquet by Polars",
        ["-m", "benchmarks.preparation", "--task", f"copy-{form}", str(raw), str(output / "parquet")],
        output / "parquet",
        rows,
        program=[sys.executable],
    )
    for copy in ("copy", "parquet"):
        path = output / copy
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    yield Step("prepare", ["prepare", form, "--input", str(raw), "--output", str(data), "--overwrite"], data, rows)
    yield Step("describe", ["describe", str(data)], output / "nothing", rows)
    yield Step("plan", ["plan", str(data), "--world-size", "2"], output / "nothing")
    search = ["search", "--data", str(data)]
    cut = ["--top-k", str(given.top_k), "--iterations", str(given.iterations)]
    yield Step(
        "search, published",
        [*search, "--preset", form, "--run", str(published), "--workers", "2", *cut],
        published,
        kills=_middles(published),
    )
    yield Step(
        "search, default",
        [*search, "--budget", given.budget, "--run", str(default)],
        default,
        kills=_middles(default, (SEARCH,)),
    )
    for name, run_ in (("published", published), ("default", default)):
        model = output / f"model-{name}"
        yield Step(f"report, {name}", ["report", str(run_)], run_ / "report.html")
        yield Step(
            f"export, {name}: program, ONNX, int8",
            ["export", str(run_), "--output", str(model), "--format", "onnx", "--quantize", "int8", "--overwrite"],
            model,
        )
        yield Step(
            f"evaluate, {name}",
            ["evaluate", str(model), "--data", str(data), "--split", "test"],
            output / "nothing",
            rows // 10,
        )
    # What is not asked for may not be there.
    searched = read_json(published / RESULTS)["best_searched"] if (published / RESULTS).exists() else "none"
    model, formats = output / "model-searched", ["--format", "onnx", "torchrec"]
    yield Step(
        "export, searched: program, ONNX, TorchRec",
        ["export", str(published), "--model", searched, "--output", str(model), "--overwrite", *formats],
        model,
    )
    trained, often = output / "trained", ["--checkpoint-seconds", "30"]
    yield Step(
        "train by two processes",
        ["train", str(model), "--data", str(data), "--output", str(trained), *often],
        trained,
        rows * 8 // 10,
        kills=[_seldom(60)],
        program=[str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", "-m", "--", "recnas"],
    )


def _middles(run_: Path, stages: Sequence[str] = tuple(MIDDLE)) -> list[Callable[[], bool]]:
    return [_in_the_middle(run_, stage) for stage in stages]


def _in_the_middle(run_: Path, stage: str) -> Callable[[], bool]:
    """Whether a run is about in the middle of a stage."""
    look = _seldom(5.0)

    def holds() -> bool:
        if not look() or not (run_ / CONFIG).exists():
            return False
        try:
            status = read_status(run_)
        except (InputError, OSError):
            # Files are just being written.
            return False
        now = status.progress
        return status.stage == stage and now is not None and now.done >= MIDDLE[stage] * now.total

    return holds


def _seldom(seconds: float) -> Callable[[], bool]:
    """Whether so many seconds have passed since it was last true, or was first asked."""
    last: float | None = None

    def holds() -> bool:
        nonlocal last
        now = time.monotonic()
        if last is None or now - last >= seconds:
            is_first, last = last is None, now
            return not is_first
        return False

    return holds


def _raw(folder: Path, form: str, rows: int) -> Path:
    if form == "criteo":
        return criteo_log(folder, rows, published_sizes=True)
    return avazu_log(folder, rows) if form == "avazu" else kdd_log(folder, rows, int(rows * PROFILES_A_ROW))


if __name__ == "__main__":
    main()

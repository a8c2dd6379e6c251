"""Kills searches at random moments, resumes them, and compares what came of it with a search left alone.

recnas prepare movielens --output data/movielens
python benchmarks/kills.py data/movielens                      # 36 kills, half of them with two worker processes
python benchmarks/kills.py data/movielens --kills 5 --seed 7
OMP_NUM_THREADS=1 python benchmarks/kills.py data/movielens    # one thread a process

Each search runs `recnas search` and `recnas report` as a user does. It is killed with SIGKILL, workers and all,
somewhere in one stage (the stages take turns), given again with --resume, and must end with the same history,
finalists, weights and figures, bit for bit. Exit code 1 if one does not. The moments are other ones each time; the
seed that they were drawn with is printed first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recnas.runs.folder import ENSEMBLE, FINAL_TRAINING, RE_RANKING, SEARCH, TEST, WARM_UP
from recnas.runs.history import FILE_NAME as HISTORY
from recnas.runs.plan import PLAN
from recnas.runs.status import read_status
from recnas.util.errors import InputError

SETTINGS = {
    "seed": 3,
    "strategy": "evolution",
    "checkpoint-seconds": 1,
    "max-rows-per-table": 2000,
    "warmup": 1,
    "warmup-batch-size": 128,
    "probe-candidates": 4,
    "probe-rows": 500,
    "proxy-batch-size": 32,
    "proxy": "loss - zico | - zico - short_training",
    "rerank": 6,
    "short-training-rows": 1024,
    "population": 20,
    "iterations": 2,
    "tournament": 8,
    "children": 8,
    "top-k": 2,
    "epochs": 2,
    "batch-size": 256,
    "learning-rate": 0.01,
    "other-learning-rates": 0.02,
}
"""A search whose stages take seconds each: with the proxy's sign turned, small networks win."""
ROWS = {"train": 6000, "validation": 2000, "test": 2000}
"""At most so many rows of each split are used."""
STAGES = (WARM_UP, SEARCH, RE_RANKING, FINAL_TRAINING, TEST)
"""Those that take long enough to be met; an ensemble is selected in a moment."""
REPORT = "report"
LIMIT = 1800
"""Seconds after which a search hangs."""


def outcome_of(run: Path) -> dict[str, Any]:
    """All that a run found and made, without times and places."""
    from safetensors.torch import load_file

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: timeless(item) for key, item in value.items() if key not in ("seconds", "run", "path")}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    files = {str(path.relative_to(run)): path for path in sorted(run.rglob("*")) if path.is_file()}
    found: dict[str, Any] = {"files": sorted(files)}
    for name, path in files.items():
        if path.name in (HISTORY, "metrics.jsonl") and path.parent.name != "supernet":
            found[name] = [timeless(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        elif path.suffix == ".json" and path.name != PLAN:
            # A plan says what was to be done when the run began, which adding baselines later does not change.
            found[name] = timeless(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".safetensors":
            found[name] = {key: tensor.numpy().tobytes() for key, tensor in load_file(path).items()}
        elif path.suffix == ".npy":
            found[name] = path.read_bytes()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="a prepared data set")
    parser.add_argument("--kills", type=int, default=36, help="default: 36")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().getrandbits(31), help="of the moments (default: a new one)"
    )
    arguments = parser.parse_args()
    print(f"--seed {arguments.seed} draws the same moments again\n", flush=True)
    places = (*STAGES, REPORT)
    with tempfile.TemporaryDirectory() as folder:
        data, outcomes, seconds = smaller(arguments.data, Path(folder) / "data"), {}, {}
        for workers in (1, 2):
            run = Path(folder) / f"alone-{workers}"
            seconds[workers] = undisturbed(data, run, workers)
            outcomes[workers] = outcome_of(run)
            times = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in seconds[workers].items())
            print(f"left alone, {workers} worker{'s' * (workers > 1)}: {times}", flush=True)
        scored = [
            [line for line in outcome[HISTORY] if line["stage"] != FINAL_TRAINING] for outcome in outcomes.values()
        ]
        bits = {True: "the same bits", False: "not the same bits"}
        print(f"1 and 2 workers: search and re-ranking {bits[scored[0] == scored[1]]}, ", end="")
        print(f"all of it {bits[outcomes[1] == outcomes[2]]}\n")
        print(f"{'kill':>4} {'workers':>7} {'after':>7}  {'in stage':<16} outcome", flush=True)
        equal = 0
        for kill in range(arguments.kills):
            workers, run = 1 + kill // len(places) % 2, Path(folder) / f"killed-{kill}"
            # Each kill draws for itself: one that came too late and is tried again moves none of the others.
            place, rng = places[kill % len(places)], random.Random(f"{arguments.seed}/{kill}")
            while (kill_at := killed(data, run, workers, place, rng, seconds[workers])) is None:
                shutil.rmtree(run)
            after, stage = kill_at
            resume(data, run, workers)
            is_equal = outcome_of(run) == outcomes[workers]
            equal += is_equal
            shown = "equal" if is_equal else "NOT EQUAL"
            print(f"{kill + 1:>4} {workers:>7} {after:>5.1f} s  {stage:<16} {shown}", flush=True)
            shutil.rmtree(run)
    print(f"\n{arguments.kills} kills, {equal} equal")
    return 0 if equal == arguments.kills else 1


def smaller(data: Path, folder: Path) -> Path:
    """Makes a data set of the first rows of each split of another."""
    schema = json.loads((data / "schema.json").read_text(encoding="utf-8"))
    for split, limit in ROWS.items():
        rows = pq.read_table(data / split).slice(0, limit)
        (folder / split).mkdir(parents=True)
        pq.write_table(rows, folder / split / "part-00000.parquet")
        schema["splits"][split] = {"rows": len(rows), "positives": pc.sum(rows[schema["label"]]).as_py()}
    (folder / "schema.json").write_text(json.dumps(schema))
    return folder


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """`recnas …` on two cores, as the leader of a process group."""
    code = (
        "import os, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2]); "
        "from recnas.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def search(data: Path, run: Path, workers: int) -> subprocess.Popen[bytes]:
    """The search of these benchmarks, new or gone on with."""
    flags = [text for name, value in SETTINGS.items() for text in (f"--{name}", value)]
    return start("search", "--data", data, "--run", run, "--workers", workers, "--resume", "--quiet", *flags)


def report(run: Path) -> subprocess.Popen[bytes]:
    return start("report", run)


def stage_of(run: Path) -> tuple[str | None, float]:
    """The stage that a run is in, None before the first and after the last; and how much of it is done, from 0 to 1."""
    try:
        status = read_status(run)
    except InputError:
        return None, 0.0
    return status.stage, status.progress.done / status.progress.total if status.progress else 0.0


def succeed(process: subprocess.Popen[bytes]) -> None:
    """Waits for a process that must end well."""
    try:
        _, error = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode:
        sys.exit(f"{' '.join(process.args[3:])} failed: {error.decode().strip()}")


def undisturbed(data: Path, run: Path, workers: int) -> dict[str, float]:
    """Searches and reports; gives the seconds that each stage took."""
    process, seconds, last = (
        search(data, run, workers),
        dict.fromkeys((*STAGES, ENSEMBLE, REPORT), 0.0),
        time.monotonic(),
    )
    while process.poll() is None:
        (stage, _), now = stage_of(run), time.monotonic()
        if stage is not None:
            seconds[stage] += now - last
        last = now
        time.sleep(0.05)
    succeed(process)
    start_of_report = time.monotonic()
    succeed(report(run))
    seconds[REPORT] = time.monotonic() - start_of_report
    return seconds


def killed(
    data: Path, run: Path, workers: int, place: str, rng: random.Random, seconds: dict[str, float]
) -> tuple[float, str] | None:
    """Kills a search, or the report on it, somewhere in a stage; gives the seconds since its start, and the stage that
    it was in then. None if it came too late."""
    begun, process, share = time.monotonic(), search(data, run, workers), rng.random()
    if place == REPORT:
        succeed(process)
        begun, process = time.monotonic(), report(run)
    else:
        # What is done is written down now and then, of the last stage nothing; the moment lies in between.
        until = share if place != STAGES[-1] else 0.0
        while process.poll() is None:
            stage, done = stage_of(run)
            if stage in STAGES and (STAGES.index(stage), done) >= (STAGES.index(place), until):
                break
            time.sleep(0.1)
    time.sleep(share * seconds[place] if place in (STAGES[-1], REPORT) else rng.uniform(0, 0.5))
    after = time.monotonic() - begun
    in_time = process.poll() is None
    if in_time:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    stage = REPORT if place == REPORT else stage_of(run)[0]
    return (after, stage) if in_time and stage is not None else None


def resume(data: Path, run: Path, workers: int) -> None:
    """Gives both commands again."""
    succeed(search(data, run, workers))
    succeed(report(run))


if __name__ == "__main__":
    sys.exit(main())

"""Whether two versions of recnas find the same: histories, finalists and figures of small runs, bit for bit.

recnas prepare synthetic --output data/same --rows 30000
python -m benchmarks.same_outcomes record data/same before          # at one commit
python -m benchmarks.same_outcomes record data/same after           # at another, same machine, same data set
python -m benchmarks.same_outcomes compare before after             # exit code 1 if anything differs

A run for each way to search: evolution by SiGeo, one-shot, random, two stages, NASRec-Full and NASRec-Cross, halving,
limits, objectives; a run of baselines; a study. One thread, one process. Only the command line and what it
leaves are used; a run that is there and has ended is not made again. Before recnas 0.3 all baselines but LR and DLRM
made fields of numbers themselves: there their figures are others.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

PUBLISHED: dict[str, Any] = {
    "inputs": {"numbers": ["columns"], "min_count": 1},
    "final": {
        "epochs": 1,
        "evaluations": 1,
        "patience": None,
        "dropout": None,
        "embedding_dim": 16,
        "embedding_std": None,
        "baseline_recipes": "like-finalists",
        "optimization": {
            "learning_rate": 0.1,
            "batch_size": 256,
            "optimizer": "adagrad",
            "eps": 1e-2,
            "embedding_optimizer": "rowwise-adagrad",
            "embedding_rate": 1.0,
            "embedding_eps": 1e-4,
            "embedding_penalty": 0.0,
            "weight_decay": 0.0,
            "schedule": "cosine",
            "lr_warmup_share": 0.1,
            "fan_in_scale": None,
            "clip": None,
        },
    },
}
"""How recnas 0.2 trained where nothing else was said: close to NASRec's recipe. Presets of published logs say all that
they train by."""
AS_PUBLISHED = "{published}"
"""Stands for the file of these settings."""
POPULATION = "--population 12 --iterations 6 --tournament 5 --children 3"
EVOLUTION = f"--strategy evolution {POPULATION}"
RANDOM = "--strategy random --population 8 --iterations 2 --tournament 4 --children 4"
SCORING = "--proxy-batch-size 64 --probe-candidates 6 --probe-rows 400 --max-rows-per-table 5000"
TRAINING = "--epochs 1 --batch-size 256"
FINAL = f"--top-k 3 {TRAINING}"
ALL_PROXIES = (
    "zico + zico_mean + fr - loss + mean_abs_gradient + gradient_std + l2_norm + plain + grad_norm + snip + grasp"
    " + fisher + synflow + zen + jacov + naswot + epe_nas + parameters + macs"
)
ONE_SHOT = "--proxy one_shot --tune-steps 20 --tune-batch-size 64 --tune-validation-rows 800"
RUNS: dict[str, tuple[str, str]] = {
    "sigeo": ("search", f"--preset criteo --seed 1 {EVOLUTION} --warmup 0.1 {SCORING} {FINAL}"),
    "one-shot": (
        "search",
        f"--preset {AS_PUBLISHED} --seed 2 {EVOLUTION} --warmup 0.2 {ONE_SHOT} {SCORING} {FINAL}",
    ),
    "random": ("search", f"--preset {AS_PUBLISHED} --seed 3 {RANDOM} --proxy zico {SCORING} {FINAL}"),
    "two-stages": (
        "search",
        f"--preset {AS_PUBLISHED} --seed 4 {POPULATION} --rerank 5 --short-training-rows 1024 {SCORING} {FINAL}",
    ),
    "full": ("search", f"--preset criteo --space nasrec-full --seed 5 {EVOLUTION} --warmup 0.05 {SCORING} {FINAL}"),
    "cross": (
        "search",
        f"--preset {AS_PUBLISHED} --space nasrec-cross --strategy random --seed 6 {POPULATION} --proxy loss"
        f" --warmup 0.05 --warmup-paths 4 --max-macs 1000000 {SCORING} --top-k 2 --learning-rate 0.01"
        " --other-learning-rates 0.005 0.02 --eps 1e-4 --embedding-rate 20 --embedding-eps 1e-4 --fan-in-scale 64",
    ),
    "halving": (
        "search",
        f"--preset {AS_PUBLISHED} --seed 7 {RANDOM} --proxy jacov {SCORING} --top-k 4 --finalists halving --epochs 2"
        " --batch-size 256",
    ),
    "limits": (
        "search",
        f"--preset {AS_PUBLISHED} --seed 8 {EVOLUTION} --proxy zico --max-macs 60000 --max-parameters 50000 {SCORING}"
        f" {FINAL}",
    ),
    "objectives": (
        "search",
        f"--preset {AS_PUBLISHED} --seed 9 {EVOLUTION} --proxy zico --objectives score,macs {SCORING} {FINAL}",
    ),
    "all-proxies": (
        "search",
        f"--preset {AS_PUBLISHED} --seed 10 {RANDOM} --warmup 0.1 --warmup-paths 2 --proxy '{ALL_PROXIES}' {SCORING}"
        f" {TRAINING} --top-k 1",
    ),
    "baselines": (
        "baselines",
        f"--preset {AS_PUBLISHED} --seed 11 {TRAINING} --learning-rates 0.05 0.02 --models lr dlrm deepfm xdeepfm"
        " autoint+ dcnv2 finalmlp",
    ),
    "study": (
        "study",
        f"--preset {AS_PUBLISHED} --seed 12 --candidates 4 --seeds 2 --warmup 0,0.1 --proxy zico,loss,jacov {SCORING}"
        f" {TRAINING}",
    ),
}
"""Each run's command and flags, as a user gives them."""
TIMES = ("seconds", "training_seconds", "early_seconds", "training_times")
SINCE_0_3 = ("inputs", "recipe", "choices", "planned")
UNEQUAL = (*TIMES, *SINCE_0_3, "created", "version", "run", "path", "data")
"""Keys of what two runs never share, or what recnas 0.2 did not tell of a model or a measurement."""
LEFT_OUT = ("data.json", "plan.json", "candidate.json", "chosen.json", "schema.json")
"""Files that tell of the data, or how a run goes."""
NAMES = {"flops": "macs", "brief": "short_training", "found": "searched", "shortlist": "reranked"}
"""What recnas 0.1 called otherwise, and how it is called now. An id has the recipe's eight digits now, too."""
RENAMED = re.compile(rf"\b({'|'.join(NAMES)})\b")
ENDED = "ended"
"""The file that says that a run is whole."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    record = commands.add_parser("record", help="make the runs")
    record.add_argument("data", type=Path, metavar="DATA", help="a prepared data set")
    record.add_argument("folder", type=Path, metavar="FOLDER", help="where the runs go")
    record.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), help="some of them")
    compare = commands.add_parser("compare", help="compare the runs of two folders")
    compare.add_argument("before", type=Path, metavar="BEFORE")
    compare.add_argument("after", type=Path, metavar="AFTER")
    given = parser.parse_args()
    return make(given.data, given.folder, given.only) if "data" in given else differences(given.before, given.after)


def make(data: Path, folder: Path, names: Sequence[str]) -> int:
    """Makes the runs that have not ended; returns the exit code of the first that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        published = Path(elsewhere) / "published.yaml"
        published.write_text(yaml.safe_dump(PUBLISHED), encoding="utf-8")
        return _make(data, folder, names, published)


def _make(data: Path, folder: Path, names: Sequence[str], published: Path) -> int:
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    for name in names:
        run = folder / name
        if (run / ENDED).exists():
            print(f"{name}: there already", flush=True)
            continue
        command, flags = RUNS[name]
        flags = flags.replace(AS_PUBLISHED, shlex.quote(str(published)))
        places = ["--data", str(data), "--run", str(run), "--quiet"] + ["--overwrite"] * run.exists()
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "recnas", command, *places, *shlex.split(flags)],
            env=one_thread,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            print(f"{name}: exit code {done.returncode}", flush=True)
            return done.returncode
        (run / ENDED).touch()
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return 0


def differences(before: Path, after: Path) -> int:
    """Prints the first difference of each run; returns 1 if there is one, or nothing to compare."""
    names = [name for name in RUNS if (before / name / ENDED).exists() or (after / name / ENDED).exists()]
    unequal = not names
    for name in names:
        difference = first_difference(outcome_of(before / name), outcome_of(after / name))
        unequal |= difference is not None
        print(f"{name}: {difference or 'equal'}")
    return int(unequal)


def outcome_of(run: Path) -> dict[str, Any]:
    """What a run found, without times and places: every candidate, every figure, by the names of today."""
    found: dict[str, Any] = {"explored": [], "re-ranked": [], "trainings": {}, "measurements": {}}
    for path in sorted(run.rglob("*.json*")):
        place = path.relative_to(run)
        if not path.is_file() or path.name in LEFT_OUT or path.name.startswith("progress"):
            continue
        if place.parts[-2:] == ("supernet", "metrics.jsonl") or (
            place.parts[0] == "trainings" and path.name != "result.json"
        ):
            continue
        values = today(timeless(read(path)))
        network, rate = network_of(path)
        if place.name in ("history.jsonl", "shortlist.jsonl"):
            for line in values:
                stage = line.get("stage", "re-ranking" if path.name == "shortlist.jsonl" else "search")
                if stage != "final training":
                    found["explored" if stage == "search" else "re-ranked"].append(evaluation(line))
        elif path.name == "result.json":
            found["trainings"][f"{place.parts[1]}/{network}"] = values
        elif path.name.startswith("training"):
            rate = values.pop("learning_rate", rate)
            values.pop("keeps_weights", None)
            found["trainings"][f"{network} at {rate}"] = values
        elif path.name == "metrics.jsonl":
            for line in values:
                found["measurements"].setdefault(f"{network} at {line['learning_rate']}", []).append(line)
        elif place.parts[0] in ("retrain", "baselines", "models"):
            continue
        else:
            for model in values.get("models", []) if isinstance(values, dict) else []:
                for entry in (model, *model.get("learning_rates", [])):
                    entry.pop("candidate", None)
            if isinstance(values, dict):
                # What a study's proxies declare was not kept before recnas 0.2.
                values.pop("proxies", None)
            found[place.as_posix()] = values
    return found


def network_of(path: Path) -> tuple[str, float | None]:
    """Which network's folder a file is in, and at which learning rate it was trained, if the folder says so."""
    folder = path.parent
    if not (file := folder / "candidate.json").exists():
        # Before recnas 0.2, or a study's training, of which only the result is kept.
        return folder.name[:-9] if folder.parent.name == "models" else folder.name, None
    candidate = read(file)
    return folder.name[:-9], candidate["recipe"]["optimization"]["learning_rate"]


def evaluation(line: dict[str, Any]) -> dict[str, Any]:
    """A candidate of a history: its network, where it comes from, and what proxies said of it."""
    old = "stage" not in line
    return {
        "network": line["id"] if old else line["id"][:-9],
        "parents": line["parents"] if old else [parent[:-9] for parent in line["parents"]],
        "architecture": line["architecture"] if old else line["candidate"]["network"],
        "proxies": line["proxy" if old else "proxies"],
        **{key: line[key] for key in ("iteration", "score")},
    }


def read(path: Path) -> Any:
    """A file's JSON, or that of each of its lines."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def timeless(value: Any) -> Any:
    """The value without what two runs never share."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in UNEQUAL}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def today(value: Any) -> Any:
    """The value with today's names for what recnas 0.1 called otherwise."""
    if isinstance(value, dict):
        return {today(key): today(item) for key, item in value.items()}
    if isinstance(value, list):
        return [today(item) for item in value]
    return RENAMED.sub(lambda found: NAMES[found.group()], value) if isinstance(value, str) else value


def first_difference(before: Any, after: Any, place: str = "") -> str | None:
    """Where two values differ, and how; None where they are equal. A number equals one of the same bits alone."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in before or key not in after:
                return f"{place}/{key} is only {'after' if key in after else 'before'}"
            if found := first_difference(before[key], after[key], f"{place}/{key}"):
                return found
        return None
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return f"{place} has {len(before)} entries before, {len(after)} after"
        pairs = enumerate(zip(before, after, strict=True))
        return next((found for at, pair in pairs if (found := first_difference(*pair, f"{place}[{at}]"))), None)
    both_nan = before != before and after != after
    return None if both_nan or before == after else f"{place} is {before!r} before, {after!r} after"


if __name__ == "__main__":
    sys.exit(main())

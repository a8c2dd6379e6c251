"""Runs as recnas 0.1 laid them out; what has ended is still read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from recnas.candidates.candidate import Candidate, network_id_in
from recnas.candidates.network import BASELINE, kind_of, save_network
from recnas.runs.folder import RE_RANKING, SEARCH
from recnas.util.files import read_json, read_json_lines

FILES = {SEARCH: "history.jsonl", RE_RANKING: "shortlist.jsonl"}


def as_version_0_1(run: Path) -> Path:
    """Rewrites a run's folder as recnas 0.1 would have left it: with a file for each stage and a folder a network."""
    _split_history(run)
    candidates = {file.parent: Candidate.from_json(read_json(file)) for file in run.glob("models/*/candidate.json")}
    for folder in sorted(candidates, key=lambda folder: -candidates[folder].recipe.optimization.learning_rate):
        _move_model(run, folder, candidates[folder])
    shutil.rmtree(run / "models", ignore_errors=True)
    if (run / "results.json").exists():
        results = read_json(run / "results.json")
        results["models"] = [_old_entry(entry) for entry in results["models"]]
        if (search := results.get("search")) and "reranked" in search:
            search["shortlist"] = search.pop("reranked")
        (run / "results.json").write_text(json.dumps(results))
    return run


def _split_history(run: Path) -> None:
    lines: dict[str, list[dict[str, Any]]] = {stage: [] for stage in FILES}
    for line in read_json_lines(run / "history.jsonl") if (run / "history.jsonl").exists() else ():
        if line["stage"] in FILES:
            lines[line["stage"]].append(
                {
                    "id": network_id_in(line["id"]),
                    "architecture": line["candidate"]["network"],
                    "parents": [network_id_in(parent) for parent in line["parents"]],
                    "iteration": line["iteration"],
                    "proxy": line["proxies"],
                    "score": line["score"],
                    "seconds": line["seconds"],
                }
            )
    for stage, name in FILES.items():
        if lines[stage]:
            (run / name).write_text("".join(json.dumps(line) + "\n" for line in lines[stage]))


def _move_model(run: Path, source: Path, candidate: Candidate) -> None:
    is_baseline = kind_of(candidate.network) == BASELINE
    folder = run / ("baselines" if is_baseline else "retrain") / candidate.network_id
    folder.mkdir(parents=True, exist_ok=True)
    rate = candidate.recipe.optimization.learning_rate
    names = {
        "progress.jsonl": f"progress-{rate!r}.jsonl",
        "training.json": f"training-{rate!r}.json",
        "weights.safetensors": "weights.safetensors",
    }
    for name, old_name in names.items():
        if (source / name).exists():
            shutil.move(source / name, folder / old_name)
    if (source / "metrics.jsonl").exists():
        with (folder / "metrics.jsonl").open("a") as metrics:
            metrics.write((source / "metrics.jsonl").read_text())
    if not is_baseline:
        save_network(candidate.network, folder / "architecture.json")


def _old_entry(entry: dict[str, Any]) -> dict[str, Any]:
    old = {name: value for name, value in entry.items() if name not in ("candidate", "macs")}
    if "macs" in entry:
        old["flops"] = entry["macs"]
    return old | {"kind": "found" if entry["kind"] == "searched" else entry["kind"]}

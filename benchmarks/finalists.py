"""What halving saves in the final training, and what it costs in log loss.

    python benchmarks/finalists.py data/movielens --max-macs 1000000 --seeds 0 1 2
    python benchmarks/finalists.py data/movielens --run runs/demo --first-share 0.25 0.125

Trains the same finalists with `--finalists full` and with `--finalists halving`, in one process. They are random
candidates, others for each seed, or the best of a run's history. Seconds are processor time, data loading included.
The regret is the validation log loss of the finalist that halving chose, less that of the one that `full` chose; τ is
Kendall's rank correlation of a rung's order with the order after full training, over the finalists of that rung.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau

from recnas.data import Dataset
from recnas.execution.executor import ThisProcess
from recnas.nn.network import EMBEDDING_DIM
from recnas.runs.history import FILE_NAME as HISTORY
from recnas.runs.history import Recorded
from recnas.runs.presets import load_preset
from recnas.runs.settings import Settings
from recnas.search.costs import Costs
from recnas.search.finalists import start_training
from recnas.search.finals import run_finals
from recnas.search.scoring import Scored
from recnas.space import Architecture, SearchSpace, cost
from recnas.strategies.evolution import Proposal
from recnas.util.console import Console
from recnas.util.plain_values import merge


@dataclass(frozen=True)
class Outcome:
    """One final training: processor seconds, results by candidate, and what each was measured at, by rows seen."""

    seconds: float
    best: str
    models: dict[str, dict[str, Any]]
    log_losses: dict[int, dict[str, float]]

    @property
    def rows(self) -> int:
        """Training rows that all finalists have seen together."""
        return sum(
            max((rows for rows, known in self.log_losses.items() if id_ in known), default=0) for id_ in self.models
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--run", type=Path, help="take the best of this run's history instead of random candidates")
    parser.add_argument("--preset", default="demo", help="settings of the final training (default: demo)")
    parser.add_argument("--space", default="nasrec-small")
    parser.add_argument("--finalists", type=int, default=15)
    parser.add_argument("--max-macs", type=int, help="random candidates of so many multiply-accumulates a row at most")
    parser.add_argument("--first-share", type=float, nargs="*", default=[0.25])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Dataset(arguments.data)
    ways: list[dict[str, Any]] = [{"strategy": "full"}]
    ways += [{"strategy": "halving", "first_share": share} for share in arguments.first_share]
    print(f"{arguments.finalists} finalists, {dataset.rows('train'):,} training rows, preset {arguments.preset}")
    print("seed  finalists        seconds  rows trained  chosen        validation      test    regret  τ of each rung")
    shares: dict[float, list[tuple[float, float, float]]] = {share: [] for share in arguments.first_share}
    for seed in arguments.seeds:
        history = recorded(arguments.run) if arguments.run else random_candidates(arguments, dataset, seed)
        full: Outcome | None = None
        for way in ways:
            outcome = train(arguments, dataset, history, seed, way)
            full = full or outcome
            regret, test = (difference(outcome, full, split) for split in ("validation", "test"))
            if "first_share" in way:
                shares[way["first_share"]].append((outcome.seconds / full.seconds, regret, test))
            name = " ".join(str(value) for value in way.values())
            best = outcome.models[outcome.best]
            figures = " ".join(f"{best[split]['log_loss']:>10.4f}" for split in ("validation", "test"))
            print(
                f"{seed:<5} {name:<15} {outcome.seconds:>8,.0f} {outcome.rows:>13,}  {outcome.best} {figures} "
                f"{regret:>9.5f}  {taus(outcome, full)}",
                flush=True,
            )
    for share, measured in shares.items():
        time_share, regret, test = (statistics.mean(column) for column in zip(*measured, strict=True))
        print(
            f"halving from {share:g}: {time_share:.0%} of the time; "
            f"mean regret {regret:.5f} on validation, {test:+.5f} on test"
        )


def random_candidates(arguments: argparse.Namespace, dataset: Dataset, seed: int) -> list[Recorded]:
    """Distinct random candidates, as if they had been scored."""
    space, rng = SearchSpace.named(arguments.space), random.Random(seed)
    schema = dataset.schema
    found: dict[str, Architecture] = {}
    while len(found) < arguments.finalists:
        arch = space.sample(rng)
        macs = cost.macs(arch, schema.num_dense, schema.num_sparse, EMBEDDING_DIM)
        if arguments.max_macs is None or macs <= arguments.max_macs:
            found[arch.id] = arch
    nothing = Scored({}, 0.0, 0.0)
    return [Recorded(Proposal(arch, id_, (), 0), nothing) for id_, arch in found.items()]


def recorded(run: Path) -> list[Recorded]:
    """Everything that a run has scored."""
    lines = [json.loads(line) for line in (run / HISTORY).read_text(encoding="utf-8").splitlines()]
    return [
        Recorded(
            Proposal(Architecture.from_json(line["architecture"]), line["id"], (), line["iteration"]),
            Scored(dict(line["proxy"]), line["score"], line["seconds"]),
        )
        for line in lines
    ]


def train(
    arguments: argparse.Namespace, dataset: Dataset, history: list[Recorded], seed: int, way: dict[str, Any]
) -> Outcome:
    """The final training of a history's best, without baselines and other learning rates."""
    final = {"top_k": arguments.finalists, "baselines": [], "other_learning_rates": [], **way}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        values = {"data": str(arguments.data), "run": folder, "seed": seed, "workers": 1, "final": final}
        # Nobody is ranked here, and the preset's space and limits are not those of these candidates.
        values |= {"proxy": {"score": "none"}, "space": arguments.space, "limits": {"max_macs": None}}
        settings = Settings.from_mapping(merge(load_preset(arguments.preset), values))
        with ThisProcess(start_training, (settings,)) as executor:
            start = time.process_time()
            results = run_finals(run, settings, dataset, history, Costs(settings, dataset), executor, Console(False))
            seconds = time.process_time() - start
        log_losses: dict[int, dict[str, float]] = {}
        for model in results["models"]:
            for line in (run / "retrain" / model["id"] / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
                measured = json.loads(line)
                log_losses.setdefault(measured["rows"], {})[model["id"]] = measured["validation"]["log_loss"]
    models = {model["id"]: model for model in results["models"]}
    return Outcome(seconds, results["best"], models, log_losses)


def difference(outcome: Outcome, full: Outcome, split: str) -> float:
    """Log loss of the chosen model, less that of the one chosen after full training."""
    return outcome.models[outcome.best][split]["log_loss"] - full.models[full.best][split]["log_loss"]


def taus(outcome: Outcome, full: Outcome) -> str:
    """Kendall's τ of each rung but the last."""
    whole = max(full.log_losses)
    cells = []
    for rows, known in sorted(outcome.log_losses.items()):
        pairs = [(loss, full.log_losses[whole][id_]) for id_, loss in known.items() if id_ in full.log_losses[whole]]
        if rows < whole:
            tau = kendalltau(*zip(*pairs, strict=True)).statistic
            cells.append(f"{tau:.2f} at {rows / whole:.3g} ({len(known)})")
    return ", ".join(cells)


if __name__ == "__main__":
    main()

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
import math
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.data import Dataset
from recnas.nn.networks import count_macs
from recnas.runs.presets import load_preset
from recnas.runs.reader import read_run
from recnas.runs.results import best_trained
from recnas.runs.settings import Settings
from recnas.search.conclusion import model_entries
from recnas.search.context import RunOptions
from recnas.search.costs import Costs
from recnas.search.feeding import keep_inputs, open_data
from recnas.search.final_training import FinalTraining
from recnas.search.run import open_context
from recnas.search.stage import Findings
from recnas.search.testing import Test
from recnas.space import Architecture, SearchSpace
from recnas.util.console import Console
from recnas.util.plain_values import merge


@dataclass(frozen=True)
class Outcome:
    """One final training.

    Attributes:
        seconds: Processor time.
        best: Id of the network that is best on validation.
        models: Entries of `results.json`, by the network's id.
        log_losses: Validation log loss of each network, by training rows seen.
    """

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
    parser.add_argument("--preset", default="cross", help="settings of the final training (default: cross)")
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
        scored = scored_by(arguments.run) if arguments.run else random_candidates(arguments, dataset, seed)
        full: Outcome | None = None
        for way in ways:
            outcome = train(arguments, scored, seed, way)
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


def random_candidates(arguments: argparse.Namespace, dataset: Dataset, seed: int) -> dict[Architecture, float]:
    """Distinct random candidates, all with the same score."""
    space, rng = SearchSpace.named(arguments.space), random.Random(seed)
    drawn: dict[str, Architecture] = {}
    while len(drawn) < arguments.finalists:
        arch = space.sample(rng)
        if arguments.max_macs is None or count_macs(arch, dataset.schema) <= arguments.max_macs:
            drawn[arch.id] = arch
    return dict.fromkeys(drawn.values(), 0.0)


def scored_by(run: Path) -> dict[Architecture, float]:
    """Everything that a run has scored."""
    return {
        Architecture.from_json(item.architecture): -math.inf if item.score is None else item.score
        for item in read_run(run).history
    }


def train(arguments: argparse.Namespace, scored: dict[Architecture, float], seed: int, way: dict[str, Any]) -> Outcome:
    """The final training of those with the highest scores, without baselines and other learning rates."""
    final = {"top_k": arguments.finalists, "baselines": [], "other_learning_rates": [], **way}
    with tempfile.TemporaryDirectory() as folder:
        values = {"data": str(arguments.data), "run": folder, "seed": seed, "workers": 1, "final": final}
        # Nobody is ranked here, and the preset's space and limits are not those of these candidates.
        values |= {"proxy": {"score": "none"}, "space": arguments.space, "limits": {"max_macs": None}}
        settings = Settings.from_mapping(merge(load_preset(arguments.preset), values))
        recipe = settings.final.recipe
        explored = [
            Result(Evaluation(Candidate(arch, recipe, settings.inputs)), score, 0.0) for arch, score in scored.items()
        ]
        findings = Findings(explored)
        dataset = open_data(settings)
        costs = Costs(settings, dataset)
        with open_context(settings, dataset, costs, Console(False), RunOptions()) as context:
            keep_inputs(context.run, settings.inputs, dataset)
            start = time.process_time()
            for stage in (FinalTraining(()), Test()):
                stage.run(context, findings)
            seconds = time.process_time() - start
            entries = model_entries(context, findings)
    log_losses: dict[int, dict[str, float]] = {}
    for network, recipes in findings.trained.items():
        for epoch in (epoch for result in recipes.values() for epoch in result.training.epochs):
            log_losses.setdefault(epoch.rows, {})[network] = epoch.validation.log_loss
    return Outcome(seconds, best_trained(entries)["best"], {model["id"]: model for model in entries}, log_losses)


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

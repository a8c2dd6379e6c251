"""Which evidence finds the features that deserve a joint id, and how fast?

    python -m benchmarks.joint_ids data/interactions data/synthetic100k data/flights100k --output runs/joint-ids
    python -m benchmarks.joint_ids data/flights100k --output runs/joint-ids --train      # and what a network gains

Three ways, each of the training rows alone and with one thread:

- `residuals`, that of `recnas search`: what a pair or triple wins, on rows held out, beside a model of main effects and
  of the joint ids before it (`recnas.data.propose_crosses`);
- `splits`: the gain of splits of a shallow boosted forest (LightGBM) under splits by other features, summed by the
  features of the path;
- `relaxation`, as OptInter's (Lyu et al. 2022): one network in which every pair is memorised (a weight for each hashed
  combination), factorised (a product of vectors) or neither, by weights on a simplex that are learned on a fifth of the
  rows, while all else is learned on the others. It knows pairs alone.

On a synthetic log it says which of the planted pairs and triples are among the first sixteen. With `--train`, DeepFM by
its own recipe is trained with the first 1, 2, 4 and 8 of each way and with none; the number is chosen on validation,
and the test log loss of that one is told. A run that was killed is resumed by the same command.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

# Before anything is imported that computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import lightgbm
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import recnas
from benchmarks.outcome.matrix import Matrices, read_matrices
from recnas.data import Dataset, propose_crosses
from recnas.data_prep.synthetic import KINDS, MIXED
from recnas.util.files import read_json, write_json, write_text

MOST = 16
"""Joint ids that each way proposes."""
COUNTS = (1, 2, 4, 8)
BINS = 32
"""Values of a number, as the relaxation sees it."""
BUCKETS = 1 << 16
"""Weights of a pair, where it is memorised."""
DIM, BATCH, PASSES = 8, 1024, 3
FOREST = {
    "objective": "binary",
    "num_leaves": 12,
    "max_depth": 4,
    "learning_rate": 0.1,
    "feature_fraction": 0.5,
    "cat_smooth": 50.0,
    "num_threads": 1,
    "verbosity": -1,
}
TREES = 300


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY")
    parser.add_argument("--train", action="store_true", help="train DeepFM with what is proposed")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    lines = [
        "| data | way | seconds | planted pairs found | planted triples found | joint ids taken | validation | test |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data in given.data:
        for way in given.ways:
            file = given.output / data.name / f"{way}-{given.seed}.json"
            if not file.exists():
                write_json(file, _proposed(data, way, given.seed))
            proposed = read_json(file)
            trained = _trained(data, file.with_suffix(""), proposed["crosses"], given.seed) if given.train else None
            lines.append(_line(data, way, proposed, trained))
            print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    write_text(given.output / "table.md", text)
    print(f"\n{text}")


def _proposed(data: Path, way: str, seed: int) -> dict[str, Any]:
    start = time.process_time()
    crosses = WAYS[way](data, seed)
    return {"crosses": crosses, "seconds": round(time.process_time() - start, 1)}


def _line(data: Path, way: str, proposed: dict[str, Any], trained: tuple[int, float, float] | None) -> str:
    found = [frozenset(cross.split(":")) for cross in proposed["crosses"]]
    shares = []
    for size in (2, 3):
        there = {item for item in planted(data) if len(item) == size}
        shares.append(f"{len(there & set(found))} of {len(there)}" if there else "")
    told = ("", "", "") if trained is None else (f"{trained[0]}", f"{trained[1]:.4f}", f"{trained[2]:.4f}")
    return f"| {data.name} | {way} | {proposed['seconds']:.0f} | {' | '.join((*shares, *told))} |"


def planted(data: Path) -> set[frozenset[str]]:
    """The pairs and triples of ids that were planted in a synthetic log; nothing of others."""
    source = read_json(data / "schema.json").get("source", {})
    if source.get("name") != "synthetic":
        return set()
    terms = KINDS[source.get("kind", MIXED)]
    columns = [[name for factor in term.factors for name in factor] for term in terms]
    return {frozenset(names) for names in columns if 2 <= len(names) <= 3 and all(name[0] == "C" for name in names)}


def by_residuals(data: Path, seed: int) -> list[str]:
    """See `recnas.data.propose_crosses`."""
    return [item.cross for item in propose_crosses(Dataset(data), most=MOST, seed=seed)]


def by_splits(data: Path, seed: int) -> list[str]:
    """Pairs and triples of features on the paths of a shallow forest, by the gain of their last split."""
    matrices = read_matrices(data)
    rows = lightgbm.Dataset(
        matrices.rows["train"],
        matrices.labels["train"],
        feature_name=matrices.names,
        categorical_feature=matrices.categories,
        params={"verbosity": -1},
    )
    forest = lightgbm.train(FOREST | {"seed": seed}, rows, TREES)
    features, gains = set(_features(data)), Counter[frozenset[str]]()

    def visit(node: dict[str, Any], above: tuple[str, ...]) -> None:
        if "split_feature" not in node:
            return
        name = matrices.names[node["split_feature"]]
        others = tuple(item for item in above if item != name and item in features)
        if name in features:
            for size in (1, 2):
                for group in combinations(others[-2:], size):
                    gains[frozenset((name, *group))] += node["split_gain"]
        for child in ("left_child", "right_child"):
            visit(node[child], (*dict.fromkeys((*above, name)),))

    for tree in forest.dump_model()["tree_info"]:
        visit(tree["tree_structure"], ())
    # A triple's splits are its pairs' as well: of its gain they are the lesser part where it matters.
    return [":".join(sorted(group)) for group, _ in gains.most_common(MOST)]


def by_relaxation(data: Path, seed: int) -> list[str]:
    """Pairs, by the weight that learning gives to memorising them."""
    matrices, features = read_matrices(data), _features(data)
    places = [matrices.names.index(name) for name in features]
    values = np.stack([_as_ids(matrices, place) for place in places], axis=1)
    torch.manual_seed(seed)
    model = _Relaxed(values.max(axis=0) + 1)
    ids, labels = torch.from_numpy(values), torch.from_numpy(matrices.labels["train"])
    own = [parameter for name, parameter in model.named_parameters() if name != "choice"]
    learner, chooser = torch.optim.Adam(own, lr=3e-3), torch.optim.Adam([model.choice], lr=3e-2)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(ids), generator=generator)
    held = order[: len(order) // 5]
    for _ in range(PASSES):
        rest = order[len(held) :][torch.randperm(len(order) - len(held), generator=generator)]
        for step, batch in enumerate(rest.split(BATCH)):
            _step(learner, model, ids[batch], labels[batch])
            if step % 4 == 0:
                chosen = held[torch.randint(len(held), (BATCH,), generator=generator)]
                _step(chooser, model, ids[chosen], labels[chosen])
    memorised = F.softmax(model.choice.detach(), dim=1)[:, 0].numpy()
    best = np.argsort(-memorised, kind="stable")[:MOST]
    return [":".join(features[place] for place in model.pairs[index]) for index in best]


class _Relaxed(nn.Module):
    """Main effects, and every pair memorised, factorised or neither, as weights on a simplex have it.

    Args:
        sizes: Values of each feature.
    """

    def __init__(self, sizes: np.ndarray) -> None:
        super().__init__()
        self.pairs = list(combinations(range(len(sizes)), 2))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.register_buffer("starts", torch.from_numpy(starts))
        self.effects = nn.Embedding(int(sizes.sum()), 1)
        self.vectors = nn.Embedding(int(sizes.sum()), DIM)
        self.memorised = nn.Parameter(torch.zeros(len(self.pairs) * BUCKETS))
        self.choice = nn.Parameter(torch.zeros(len(self.pairs), 3))
        self.bias = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.effects.weight)
        nn.init.normal_(self.vectors.weight, std=0.05)
        self.first, self.second = (torch.tensor(side) for side in zip(*self.pairs, strict=True))

    def forward(self, ids: Tensor) -> Tensor:
        """Values `[B, F]` to logits `[B]`."""
        placed = ids + self.starts
        vectors = self.vectors(placed)
        products = (vectors[:, self.first] * vectors[:, self.second]).sum(2)
        hashed = (ids[:, self.first] * 1_000_003 + ids[:, self.second] * 7_919) % BUCKETS
        remembered = self.memorised[hashed + BUCKETS * torch.arange(len(self.pairs))]
        weights = F.softmax(self.choice, dim=1)
        together = remembered * weights[:, 0] + products * weights[:, 1]
        return self.bias + self.effects(placed).sum((1, 2)) + together.sum(1)


def _step(optimizer: torch.optim.Optimizer, model: _Relaxed, ids: Tensor, labels: Tensor) -> None:
    model.zero_grad(set_to_none=True)
    F.binary_cross_entropy_with_logits(model(ids), labels).backward()
    optimizer.step()


def _features(data: Path) -> list[str]:
    """Features that may have a joint id: all but lists."""
    schema = Dataset(data).schema
    return [item.name for item in schema.dense] + [item.name for item in schema.sparse if not item.multi_valued]


def _as_ids(matrices: Matrices, place: int) -> np.ndarray:
    """A column's values as whole numbers; numbers by quantile, missing ones 0."""
    column = matrices.rows["train"][:, place]
    if place >= matrices.first_category:
        return column.astype(np.int64)
    present = column[~np.isnan(column)]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS)[1:-1])) if len(present) else np.zeros(0)
    return np.where(np.isnan(column), 0, 1 + np.searchsorted(edges, column, side="right")).astype(np.int64)


def _trained(data: Path, output: Path, crosses: Sequence[str], seed: int) -> tuple[int, float, float]:
    """How many joint ids are best on validation, and the log losses there and on test."""
    counts = [0, *(count for count in COUNTS if count <= len(crosses))]
    best: tuple[int, float, float] | None = None
    for count in counts:
        inputs = {"inputs": {"crosses": list(crosses[:count])}} if count else {}
        run = output / str(count)
        results = recnas.baselines(data, run, models=["deepfm"], seed=seed, workers=1, resume=True, final={}, **inputs)
        (model,) = results["models"]
        losses = model["validation"]["log_loss"], model["test"]["log_loss"]
        if best is None or losses[0] < best[1]:
            best = count, *losses
    return best


WAYS: dict[str, Callable[[Path, int], list[str]]] = {
    "residuals": by_residuals,
    "splits": by_splits,
    "relaxation": by_relaxation,
}

if __name__ == "__main__":
    main()

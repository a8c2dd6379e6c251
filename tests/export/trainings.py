"""Trainings of a toy data set in one, two and three processes: `python -m tests.export.trainings DATA OUTPUT`.

Writes losses, metrics, weights and checkpoints into OUTPUT/1, OUTPUT/2 and OUTPUT/3. Several processes also go on from
the checkpoints of one. All are forks of this one, as what they import takes longer than what they compute.
"""

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.multiprocessing import start_processes

from recnas.candidates.recipe import Optimization
from recnas.data import Dataset
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel, Supernet, searched_network
from recnas.nn.processes import all_processes
from recnas.nn.sharding import Sharding
from recnas.space import SearchSpace
from recnas.train.checkpoint import Checkpoint, save_model
from recnas.train.loop import Learner, ModelLearner, evaluate, train
from recnas.train.warmup import PathLearner
from tests.joining import free_port, join

BATCH, EPOCHS, KEPT_AT = 64, 3, 11
"""Of 600 rows the last step of an epoch has 24."""


@dataclass(frozen=True)
class Case:
    """A kind of training."""

    optimization: Optimization
    space: str = "nasrec-cross"
    baseline: str | None = None
    paths: int = 0
    sharding: Sharding | None = None


CASES = {
    "rowwise": Case(Optimization(0.005, BATCH), baseline="dlrm"),
    "columns": Case(
        Optimization(0.005, BATCH, embedding_optimizer="adagrad"),
        baseline="dlrm",
        sharding=Sharding(types=("column_wise",)),
    ),
    "clipped": Case(Optimization(0.05, BATCH, clip=0.1, fan_in_scale=16, weight_decay=1e-3), "nasrec-full"),
    "first_order": Case(Optimization(0.005, BATCH), baseline="deepfm"),
    "adam": Case(
        Optimization(0.003, BATCH, optimizer="adam", embedding_optimizer="rowwise-adam", embedding_eps=1e-6),
        baseline="dlrm",
    ),
    "decay": Case(
        Optimization(0.003, BATCH, embedding_optimizer="adam", embedding_eps=1e-6, embedding_penalty=3e-3),
        baseline="deepfm",
    ),
    "own_loss": Case(Optimization(0.005, BATCH), baseline="fcn"),
    "batch_norm": Case(Optimization(0.005, BATCH), baseline="finalnet"),
    "warm_up": Case(Optimization(0.005, BATCH, clip=0.3, fan_in_scale=16), "nasrec-cross", paths=2),
}


def learner_of(case: Case, dataset: Dataset) -> Learner:
    """A learner with fresh weights."""
    torch.manual_seed(0)
    baseline = find_baseline(case.baseline) if case.baseline else None
    embeddings = ShardedEmbeddings(
        dataset.schema,
        baseline.dim if baseline else 16,
        case.optimization.of_tables,
        first_order=baseline is not None and baseline.first_order,
        processes=all_processes("cpu"),
        sharding=case.sharding,
    )
    space = SearchSpace.named(case.space)
    if case.paths:
        supernet = Supernet(dataset.schema, embeddings, space)
        return PathLearner(supernet, case.optimization, random.Random(0), paths=case.paths)
    arch = space.sample(random.Random(3))
    # Each process's dropout is its own.
    network = baseline.network(dataset.schema, dropout=0.0) if baseline else searched_network(dataset.schema, arch)
    return ModelLearner(CTRModel(dataset.schema, embeddings, network), case.optimization)


def losses_of(learner: Learner, dataset: Dataset, first: int, stop: int) -> list[float]:
    """Trains from one step up to another; gives the loss of each step."""
    processes = all_processes("cpu")
    found = []

    def batches():
        for epoch in range(EPOCHS):
            yield from dataset.batches(
                "train", BATCH, seed=1, epoch=epoch, rank=processes.rank, world_size=processes.size
            )

    def taken():
        for step, batch in enumerate(batches()):
            if first <= step < stop:
                torch.manual_seed(step)
                yield batch

    before = 0.0

    def after(step, tally):
        nonlocal before
        found.append(tally.loss - before)
        before = tally.loss

    train(
        learner,
        taken(),
        steps=EPOCHS * 10,
        first_step=first,
        after_step=after,
    )
    return found


def train_all(data: Path, output: Path, kept: Path | None) -> None:
    """What each of the processes does."""
    dataset, processes = Dataset(data), all_processes("cpu")
    output.mkdir(parents=True, exist_ok=True)
    results = {}
    for name, case in CASES.items():
        learner = learner_of(case, dataset)
        checkpoint = Checkpoint(output / f"{name}.state", 0.0, processes)
        losses = losses_of(learner, dataset, 0, KEPT_AT)
        checkpoint.save(learner, {"step": KEPT_AT})
        losses += losses_of(learner, dataset, KEPT_AT, EPOCHS * 10)
        results[name] = {
            "losses": losses,
            "parts": sum(len(t.parts) for t in learner.model.embeddings.divided_tables().values()),
        }
        if not case.paths:
            results[name]["quality"] = evaluate(learner.model, dataset, "test", batch_size=37).to_json()
        save_model(output / f"{name}.safetensors", learner.model)
        if kept is not None:
            other = learner_of(case, dataset)
            assert Checkpoint(kept / f"{name}.state", 0.0, processes).restore(other) == {"step": KEPT_AT}
            results[name]["after"] = losses_of(other, dataset, KEPT_AT, EPOCHS * 10)
    results["parts"] = processes.collect({name: results[name]["parts"] for name in CASES})
    if processes.leads:
        (output / "results.json").write_text(json.dumps(results))


def as_torchrun(rank: int, count: int, port: int, data: Path, output: Path, kept: Path | None) -> None:
    """One of several processes, which know each other by what `torchrun` tells its own."""
    join(rank, count, port)
    train_all(data, output, kept)


def alone(_: int, data: Path, output: Path) -> None:
    train_all(data, output, None)


def main(data: Path, output: Path) -> None:
    start_processes(alone, (data, output / "1"), nprocs=1, start_method="fork")
    for count in (2, 3):
        arguments = (count, free_port(), data, output / str(count), output / "1")
        start_processes(as_torchrun, arguments, nprocs=count, start_method="fork")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

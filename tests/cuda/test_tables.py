"""Tables on a CUDA device, by FBGEMM's kernels, against the compiled loops of a CPU."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from recnas.candidates.embedding_optimizer import NAMES
from recnas.candidates.network import Baseline
from recnas.candidates.recipe import Optimization
from recnas.data import Dataset
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.networks import build_network, reads_first_order
from recnas.nn.planning import OPTIMIZERS
from recnas.train.loop import ModelLearner, train
from recnas.util.errors import InputError

DIM, STEPS, BATCH = 8, 15, 64
NETWORK = Baseline("deepfm", {"hidden": (256, 128)})
"""It has embeddings and first-order weights."""
CLOSE_LOSS, CLOSE_WEIGHTS = 2e-3, 0.02
"""How far apart the losses of a step may be; and weights on the mean, as a share of how far they have moved. Sums of
another order are rounded otherwise, and Adam makes a step of one size of the smallest gradient."""


def learn(dataset: Dataset, device: torch.device, optimization: Optimization) -> tuple[list[float], ShardedEmbeddings]:
    """Some steps; gives their losses and what the tables came to."""
    torch.manual_seed(0)
    embeddings = ShardedEmbeddings(
        dataset.schema, DIM, optimization.of_tables, device, reads_first_order(NETWORK), std=0.05
    )
    network = build_network(NETWORK, dataset.schema, DIM)
    model = CTRModel(dataset.schema, embeddings, network).to(device)
    learner, losses = ModelLearner(model, optimization), []
    loss = learner.loss

    def noted(batch):
        losses.append(loss(batch))
        return losses[-1]

    learner.loss = noted
    train(learner, islice(dataset.batches("train", BATCH, seed=0), STEPS), steps=STEPS, device=device)
    return [item.item() for item in losses], embeddings


def tables_of(embeddings: ShardedEmbeddings) -> dict[tuple[str, bool], torch.Tensor]:
    return {
        (name, first_order): table.cpu().clone()
        for first_order in (False, True)
        for name, table in embeddings.tables(first_order).items()
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("penalty", [0.0, 1e-2])
@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_tables_learn_as_on_a_cpu(data: Path, device: torch.device, name: str, penalty: float, beta1: float) -> None:
    if beta1 and name != "adam":
        pytest.skip("only Adam has a first moment")
    optimization = Optimization(
        0.01,
        BATCH,
        optimizer="adam",
        embedding_optimizer=name,
        embedding_beta1=beta1,
        embedding_penalty=penalty,
        clip=10.0,
    )
    dataset = Dataset(data)
    torch.manual_seed(0)
    start = tables_of(
        ShardedEmbeddings(dataset.schema, DIM, optimization.of_tables, "cpu", reads_first_order(NETWORK), std=0.05)
    )
    (here, on_cpu), (there, on_device) = (learn(dataset, item, optimization) for item in (torch.device("cpu"), device))
    assert there == pytest.approx(here, abs=CLOSE_LOSS)
    assert here[-1] < here[0]
    found, expected = tables_of(on_device), tables_of(on_cpu)
    assert found.keys() == expected.keys() == start.keys()
    for key, table in expected.items():
        moved = (table - start[key]).abs().mean()
        assert moved > 0
        assert (found[key] - table).abs().mean() <= CLOSE_WEIGHTS * moved, key


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OPTIMIZERS)))
def test_an_optimizer_that_the_device_has_not_is_refused_in_one_line(
    data: Path, device: torch.device, name: str
) -> None:
    with pytest.raises(InputError, match=f"{name} is not offered on cuda") as refused:
        learn(Dataset(data), device, Optimization(0.01, BATCH, embedding_optimizer=name))
    assert "\n" not in str(refused.value)

"""SiGeo against a plain double-precision autograd computation over full parameters."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchrec import KeyedJaggedTensor

from recnas.data import Batch
from recnas.nn import kernels
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import Supernet
from recnas.proxies import (
    GradientStatistics,
    ProxyBatches,
    ProxyTerms,
    SiGeo,
    collect,
    fisher_rao,
    statistics,
    zico,
)
from recnas.schema import DenseFeature, Schema, SparseFeature
from recnas.space import SPACES, SearchSpace

SPLITS = {name: {"rows": 10, "positives": 5} for name in ("train", "validation", "test")}
SCHEMA = Schema(
    "label",
    tuple(DenseFeature(f"d{index}", {"name": "log1p"}) for index in range(3)),
    (SparseFeature("a", 7), SparseFeature("tags", 9, pooling="mean", multi_valued=True), SparseFeature("b", 30)),
    SPLITS,
)


def make_batch(generator: torch.Generator, rows: int = 6) -> Batch:
    """Random features; the multi-valued one has one to three ids, some of them twice in a row."""
    lengths = torch.cat((torch.ones(rows), torch.randint(1, 4, (rows,), generator=generator), torch.ones(rows))).long()
    counts = lengths.view(3, rows).sum(1).tolist()
    values = [
        torch.randint(0, feature.rows, (count,), generator=generator)
        for feature, count in zip(SCHEMA.sparse, counts, strict=True)
    ]
    sparse = KeyedJaggedTensor(keys=[f.name for f in SCHEMA.sparse], values=torch.cat(values), lengths=lengths)
    return Batch(torch.randn(rows, 3, generator=generator), sparse, torch.rand(rows, generator=generator).round())


def make_supernet(space: str) -> Supernet:
    torch.manual_seed(0)
    return Supernet(SCHEMA, ShardedEmbeddings(SCHEMA, 16), SearchSpace.named(space))


def plain_fields(batch: Batch, tables: dict[str, torch.Tensor]) -> torch.Tensor:
    columns = []
    for feature in SCHEMA.sparse:
        ids = batch.sparse[feature.name]
        bags = torch.split(ids.values(), ids.lengths().tolist())
        pool = torch.mean if feature.pooling == "mean" else torch.sum
        columns.append(torch.stack([pool(tables[feature.name][bag], dim=0) for bag in bags]))
    return torch.stack(columns, dim=1)


def plain_statistics(supernet: Supernet, arch, batches: list[Batch]) -> tuple[list[float], list[float], list[float]]:
    """Module ratios, projections and losses, by autograd over whole double-precision tables and whole parameters."""
    network = supernet.network.extract(arch).double()
    tables = {name: nn.Parameter(table.double().clone()) for name, table in supernet.embeddings.tables().items()}
    parameters = [*network.parameters(), *tables.values()]
    gradients, losses = [], []
    for batch in batches:
        logits = network(batch.dense.double(), plain_fields(batch, tables))
        loss = F.binary_cross_entropy_with_logits(logits, batch.label.double())
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        gradients.append([torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)])
        losses.append(loss.item())
    projections = [sum((p * g).sum().item() for p, g in zip(parameters, grads, strict=True)) for grads in gradients]
    # A leaf layer is the module two or one levels above a parameter's name: `….linear.weight.3`, `….norm.bias`.
    layers: dict[str, list[int]] = {}
    for index, (name, _) in enumerate(network.named_parameters()):
        layer = name.rsplit(".weight", 1)[0] if ".weight" in name else name.rsplit(".bias", 1)[0]
        layers.setdefault(layer, []).append(index)
    uses_tables = any(0 in block.sparse_inputs for block in arch.canonical().blocks)
    if uses_tables:
        for offset, name in enumerate(tables):
            layers[f"table {name}"] = [len(parameters) - len(tables) + offset]
    ratios = []
    for indices in layers.values():
        total = 0.0
        for index in indices:
            stacked = torch.stack([grads[index] for grads in gradients])
            mean, deviation = stacked.abs().mean(0), stacked.std(0)
            total += (mean[deviation > 0] / deviation[deviation > 0]).sum().item()
        ratios.append(total)
    return ratios, projections, losses


@pytest.mark.parametrize("space", SPACES)
def test_all_three_terms_equal_plain_double_precision_autograd_over_full_parameters(space: str) -> None:
    supernet, generator = make_supernet(space), torch.Generator().manual_seed(1)
    batches = [make_batch(generator) for _ in range(4)]
    proxy_batches, rng = ProxyBatches(supernet, batches), random.Random(2)
    supernet.network.double()
    tables = {name: table.double() for name, table in supernet.embeddings.tables().items()}
    proxy_batches.looked_up = [
        replace(looked_up, dense=batch.dense.double(), fields=plain_fields(batch, tables))
        for looked_up, batch in zip(proxy_batches.looked_up, batches, strict=True)
    ]
    for _ in range(12):
        arch = supernet.network.space.sample(rng)
        ratios, projections, losses = plain_statistics(supernet, arch, batches)
        found = collect(supernet, arch, proxy_batches)
        assert sorted(found.module_ratios) == pytest.approx(sorted(ratios), rel=1e-6)
        assert found.projections == pytest.approx(projections, rel=1e-8, abs=1e-12)
        assert found.losses == pytest.approx(losses, rel=1e-10)
        expected = GradientStatistics(tuple(ratios), tuple(projections), tuple(losses))
        assert ProxyTerms.of(found).zico == pytest.approx(zico(expected), rel=1e-7)
        assert ProxyTerms.of(found).log_fr == pytest.approx(math.log(fisher_rao(expected)), rel=1e-7)


@pytest.mark.parametrize("space", SPACES)
def test_single_precision_terms_are_close_to_double_precision(space: str) -> None:
    supernet, generator = make_supernet(space), torch.Generator().manual_seed(1)
    batches = [make_batch(generator, rows=64) for _ in range(4)]
    proxy_batches, rng = ProxyBatches(supernet, batches), random.Random(3)
    for _ in range(5):
        arch = supernet.network.space.sample(rng)
        found = ProxyTerms.of(collect(supernet, arch, proxy_batches))
        ratios, projections, losses = plain_statistics(supernet, arch, batches)
        expected = ProxyTerms.of(GradientStatistics(tuple(ratios), tuple(projections), tuple(losses)))
        assert found.zico == pytest.approx(expected.zico, rel=1e-3)
        assert found.log_fr == pytest.approx(expected.log_fr, rel=1e-3, abs=1e-3)
        assert found.loss == pytest.approx(expected.loss, rel=1e-4)


def test_scoring_changes_no_weight_and_no_optimiser_state() -> None:
    supernet, generator = make_supernet("nasrec-full"), torch.Generator().manual_seed(1)
    supernet.embeddings.set_learning_rate(1.0)
    before = [
        tensor.clone()
        for tensor in (
            *supernet.network.parameters(),
            *supernet.embeddings.tables().values(),
            *supernet.embeddings.optimizer_state().values(),
        )
    ]
    batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(4)])
    for seed in range(5):
        collect(supernet, supernet.network.space.sample(random.Random(seed)), batches)
    after = (
        *supernet.network.parameters(),
        *supernet.embeddings.tables().values(),
        *supernet.embeddings.optimizer_state().values(),
    )
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(parameter.grad is None for parameter in supernet.network.parameters())


def test_scoring_the_same_candidate_twice_gives_the_same_terms() -> None:
    supernet, generator = make_supernet("nasrec-small"), torch.Generator().manual_seed(1)
    batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(2)])
    arch = supernet.network.space.sample(random.Random(0))
    assert collect(supernet, arch, batches) == collect(supernet, arch.canonical(), batches)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("together", [1, 2, 3])
def test_it_does_not_matter_how_many_batches_share_a_pass(space: str, together: int, monkeypatch) -> None:
    supernet, generator = make_supernet(space), torch.Generator().manual_seed(1)
    batches, rng = ProxyBatches(supernet, [make_batch(generator, rows=40) for _ in range(5)]), random.Random(4)
    for _ in range(3):
        arch = supernet.network.space.sample(rng)
        expected = collect(supernet, arch, batches)
        with monkeypatch.context() as patch:
            patch.setattr(statistics, "ROWS_OF_A_PASS", 40 * together)
            found = collect(supernet, arch, batches)
        assert found.losses == pytest.approx(expected.losses, rel=1e-5)
        assert found.projections == pytest.approx(expected.projections, rel=1e-3, abs=1e-5)
        assert zico(found) == pytest.approx(zico(expected), rel=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_without_kernels_the_terms_are_the_same(space: str, monkeypatch) -> None:
    """Elsewhere than on a CPU torch's operators compute what the kernels do."""
    supernet, generator = make_supernet(space), torch.Generator().manual_seed(1)
    supernet.network.double()
    batches, rng = ProxyBatches(supernet, [make_batch(generator, rows=8) for _ in range(3)]), random.Random(4)
    batches.looked_up = [
        replace(one, dense=one.dense.double(), fields=one.fields.double()) for one in batches.looked_up
    ]
    for _ in range(5):
        arch = supernet.network.space.sample(rng)
        expected = collect(supernet, arch, batches)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "take", lambda tensor: False)
            found = collect(supernet, arch, batches)
        assert found.losses == pytest.approx(expected.losses, rel=1e-10)
        assert found.projections == pytest.approx(expected.projections, rel=1e-8, abs=1e-12)
        assert found.module_ratios == pytest.approx(expected.module_ratios, rel=1e-6)


def test_batches_of_two_sizes_are_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="differ in size"):
        ProxyBatches(make_supernet("nasrec-small"), [make_batch(generator, rows) for rows in (6, 7)])


def test_a_standard_deviation_needs_two_batches() -> None:
    supernet = make_supernet("nasrec-small")
    with pytest.raises(ValueError, match="at least 2"):
        ProxyBatches(supernet, [make_batch(torch.Generator().manual_seed(0))])


def test_a_gradient_that_is_no_number_is_the_worst_score() -> None:
    terms = ProxyTerms.of(GradientStatistics((2.0, math.nan), (1.0, 1.0), (0.5, 0.5)))
    assert SiGeo(1, 0, 0).score(terms) == -math.inf


def test_lambdas_follow_the_warm_up() -> None:
    assert SiGeo.after_warmup(0.0) == SiGeo(1.0, 1.0, 0.0)
    assert SiGeo.after_warmup(0.01) == SiGeo(1.0, 1.0, 1.0)


def test_score_is_the_weighted_sum_and_a_broken_term_in_use_is_the_worst_score() -> None:
    terms = ProxyTerms(zico=100.0, log_fr=-2.0, loss=0.5)
    assert SiGeo(1, 2, 3).score(terms) == 100 - 4 - 1.5
    assert SiGeo(1, 0, 0).score(ProxyTerms(5.0, -math.inf, math.nan)) == 5
    assert SiGeo(1, 1, 0).score(ProxyTerms(5.0, -math.inf, 0.5)) == -math.inf
    assert SiGeo(1, 1, 1).score(ProxyTerms(5.0, 1.0, math.nan)) == -math.inf

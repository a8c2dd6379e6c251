"""Proxies of whole candidates with fresh weights: the same formulas as of a supernet's paths, for every family."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import DEFAULT_RECIPE, own_candidate
from recnas.candidates.families import FAMILIES
from recnas.data import Batch
from recnas.features.feature import SparseFeature
from recnas.features.schema import Schema
from recnas.nn.model import Supernet
from recnas.proxies import fresh
from recnas.proxies.batches import Lookups, ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.fresh import MEASURED, FreshInputs, measure_fresh
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.registry import PROXIES
from recnas.proxies.row_statistics import look_at_rows
from recnas.proxies.statistics import collect
from recnas.space import SearchSpace

ROWS = 16


@pytest.fixture
def lookups(schema: Schema, make_batch: Callable[..., Batch]) -> Lookups:
    generator = torch.Generator().manual_seed(0)
    return Lookups(schema, [make_batch(generator, ROWS) for _ in range(4)])


@pytest.mark.parametrize("space", ["nasrec-small", "nasrec-full", "nasrec-cross"])
def test_an_architecture_has_the_statistics_that_its_path_through_a_supernet_of_the_same_weights_has(
    space: str, lookups: Lookups
) -> None:
    rng = random.Random(1)
    for _ in range(3):
        arch = SearchSpace.named(space).sample(rng).canonical()
        inputs = FreshInputs(Candidate(arch, DEFAULT_RECIPE), lookups, seed=2)
        supernet = SimpleNamespace(network=inputs.network, schema=lookups.schema, embeddings=SimpleNamespace(dim=16))
        expected = collect(supernet, arch, inputs.batches)
        found = inputs.gradients
        assert found.losses == pytest.approx(expected.losses, rel=1e-5)
        assert found.projections == pytest.approx(expected.projections, rel=1e-3, abs=1e-5)
        # Of the weights' own size it is not asked: a finished gate has elements that nothing meets.
        for name in ("ratio", "magnitude", "deviation", "gradient_square", "saliency"):
            sums = [sum(getattr(module, name) for module in item.modules) for item in (found, expected)]
            assert sums[0] == pytest.approx(sums[1], rel=2e-3, abs=1e-6), name
        logs = [PROXIES[name](inputs) for name in ("zico", "grad_norm")]
        assert logs == pytest.approx(
            [PROXIES[name](SimpleNamespace(gradients=expected)) for name in ("zico", "grad_norm")], rel=1e-3
        )
        rows = look_at_rows(supernet, arch, inputs.batches)
        torch.testing.assert_close(inputs.rows.jacobian, rows.jacobian, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(inputs.rows.codes.sum(1), rows.codes.sum(1))
        flow = PROXIES["synflow"](ProxyInputs(ScoringContext.of(supernet, inputs.batches), arch))
        assert inputs.flow() == pytest.approx(flow, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_proxies_that_hang_on_the_seed_alone(family: str, lookups: Lookups) -> None:
    candidate = own_candidate(family)
    found = measure_fresh(candidate, lookups, 1, tuple(MEASURED))
    unknown = {name for name, value in found.items() if math.isnan(value)}
    # A linear model starts at zero and has no ReLUs, nor have interactions.
    assert unknown == {"lr": {"sigeo", "naswot", "synflow"}, "profit": {"naswot"}}.get(family, set())
    torch.manual_seed(5)
    assert measure_fresh(candidate, lookups, 1, tuple(MEASURED)) == pytest.approx(found, nan_ok=True, rel=1e-9)
    if family != "lr":
        assert measure_fresh(candidate, lookups, 2, ["zico"])["zico"] != found["zico"]


def test_what_is_read_of_tables_is_what_embeddings_would_give(
    lookups: Lookups, make_supernet: Callable[..., Supernet]
) -> None:
    supernet = make_supernet("nasrec-small", narrow=True)
    of_supernet = ProxyBatches(supernet, lookups.batches)
    rows = torch.cat([rows for _, rows in of_supernet.tables])
    for pooled, batch in zip(lookups.pooled(rows), of_supernet.looked_up, strict=True):
        torch.testing.assert_close(pooled, batch.fields)


def test_tables_begin_as_in_a_training_and_only_rows_that_are_read_are_drawn(
    schema: Schema, make_batch: Callable[..., Batch]
) -> None:
    generator = torch.Generator().manual_seed(0)
    a, tags, _ = schema.sparse
    wide = replace(schema, sparse=(a, tags, SparseFeature("b", 2**31 - 1)))
    lookups = Lookups(wide, [make_batch(generator, 256) for _ in range(2)])
    recipe = replace(DEFAULT_RECIPE, embedding_dim=32, embedding_std=0.5)
    inputs = FreshInputs(replace(own_candidate("deepfm"), recipe=recipe), lookups, seed=0)
    tables = [rows for _, rows in inputs.batches.tables]
    assert [len(rows) for rows in tables] == [7, 9, 30]
    drawn = torch.cat(tables)
    assert drawn[:, :32].std().item() == pytest.approx(0.5, rel=0.1)
    # The first-order weights.
    assert drawn.shape[1] == 33
    assert not drawn[:, 32].any()


def test_what_fails_or_is_not_finite_is_unknown(lookups: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(inputs: FreshInputs) -> float:
        raise ZeroDivisionError

    of_any = {"one": lambda inputs: 1, "none": fail, "infinite": lambda inputs: math.inf}
    monkeypatch.setattr(fresh, "MEASURED", of_any)
    found = measure_fresh(own_candidate("dnn"), lookups, 0, tuple(of_any))
    assert found == pytest.approx({"one": 1.0, "none": math.nan, "infinite": math.nan}, nan_ok=True)
    # Neither can be made of a network that is made for no such features.
    monkeypatch.setattr(fresh, "build_network", fail)
    assert all(math.isnan(value) for value in measure_fresh(own_candidate("dnn"), lookups, 0, ["one"]).values())

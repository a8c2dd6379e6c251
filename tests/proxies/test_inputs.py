"""A candidate measures what its proxies share once, and says what each proxy costs alone."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
import torch

from recnas.candidates.recipe import Optimization, Recipe
from recnas.proxies import inputs as proxy_inputs
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.registry import PROXIES, find_proxy
from recnas.proxies.short_training import ShortTraining
from recnas.proxies.tuning import LastLayerTuning
from recnas.space import SPACES


class Clock:
    """Time that passes only where a test lets it."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def slow(self, function, seconds: float):
        """The function, as if it took so long; its calls are counted."""

        def call(*arguments):
            call.calls += 1
            self.now += seconds
            return function(*arguments)

        call.calls = 0
        return call


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(proxy_inputs, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    monkeypatch.setattr(proxy_inputs, "collect", clock.slow(proxy_inputs.collect, 10))
    monkeypatch.setattr(proxy_inputs, "look_at_losses", clock.slow(proxy_inputs.look_at_losses, 1000))
    monkeypatch.setattr(proxy_inputs, "look_at_rows", clock.slow(proxy_inputs.look_at_rows, 100))
    return clock


def test_shared_statistics_are_measured_once(clock, make_case) -> None:
    case = make_case("nasrec-full")
    its = case.candidate(case.supernet.network.space.sample(random.Random(0)))
    for name in ("zico", "fr", "loss", "snip", "naswot", "jacov", "epe_nas", "fr", "jacov"):
        its.measure(find_proxy(name))
    assert proxy_inputs.collect.calls == 1
    assert proxy_inputs.look_at_rows.calls == 1


def test_losses_need_no_gradients_and_are_those_that_gradients_are_taken_of(clock, make_case) -> None:
    case = make_case("nasrec-full")
    arch = case.supernet.network.space.sample(random.Random(0))
    alone, after = case.candidate(arch), case.candidate(arch)
    assert alone.measure(find_proxy("loss")).seconds == 1000
    assert proxy_inputs.collect.calls == 0
    assert alone.losses == pytest.approx(alone.gradients.losses, rel=1e-6)
    assert len(alone.losses) == len(case.batches)
    after.measure(find_proxy("zico"))
    assert after.measure(find_proxy("loss")).seconds == 10
    assert proxy_inputs.look_at_losses.calls == 1


def test_what_no_proxy_asks_for_is_not_measured(clock, make_case) -> None:
    case = make_case("nasrec-full")
    its = case.candidate(case.supernet.network.space.sample(random.Random(0)))
    its.measure(find_proxy("parameters"))
    its.measure(find_proxy("synflow"))
    assert proxy_inputs.collect.calls == proxy_inputs.look_at_rows.calls == 0


def test_a_measurement_takes_what_it_would_have_taken_alone(clock, make_case) -> None:
    case = make_case("nasrec-full")
    its = case.candidate(case.supernet.network.space.sample(random.Random(0)))

    def both(candidate: ProxyInputs) -> float:
        return len(candidate.gradients.losses) + len(candidate.rows.label) + len(candidate.gradients.losses)

    seconds = [
        its.measure(clock.slow(proxy, own)).seconds
        for proxy, own in (
            (find_proxy("zico"), 1),
            (find_proxy("fr"), 2),
            (find_proxy("parameters"), 3),
            (both, 4),
            (both, 5),
            (find_proxy("naswot"), 6),
        )
    ]
    assert seconds == [11, 12, 3, 114, 115, 106]


def test_a_measurement_has_the_value_of_the_proxy(make_case) -> None:
    case = make_case("nasrec-small")
    arch = case.supernet.network.space.sample(random.Random(0))
    for name in ("zico", "loss", "naswot", "synflow", "macs"):
        assert case.candidate(arch).measure(find_proxy(name)).value == find_proxy(name)(case.candidate(arch))


@pytest.mark.parametrize("space", SPACES)
def test_no_proxy_changes_a_weight_an_optimiser_state_or_a_batch(space, make_supernet, make_batch, dataset) -> None:
    supernet, generator = make_supernet(space, narrow=True), torch.Generator().manual_seed(1)
    supernet.embeddings.set_learning_rate(1.0)
    batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(4)])
    tuning = LastLayerTuning(dataset, 3, 16, 40, Optimization(0.1, 16), seed=0)
    training = ShortTraining(dataset, 40, Recipe(Optimization(0.1, 16)), seed=0)
    context = ScoringContext.of(supernet, batches, tuning, training)
    held = [
        *supernet.network.parameters(),
        *supernet.embeddings.tables().values(),
        *supernet.embeddings.optimizer_state()["sum"].values(),
        *(tensor for batch in batches.looked_up for tensor in (batch.dense, batch.fields, batch.label)),
    ]
    before = [tensor.clone() for tensor in held]
    for seed in range(2):
        its = ProxyInputs(context, supernet.network.space.sample(random.Random(seed)))
        for name, proxy in PROXIES.items():
            its.measure(proxy)
            assert all(torch.equal(old, new) for old, new in zip(before, held, strict=True)), name
            assert not any(tensor.grad is not None for tensor in supernet.network.parameters()), name
            assert not any(batch.fields.requires_grad or batch.dense.requires_grad for batch in batches.looked_up), name


@pytest.mark.parametrize("name", sorted(PROXIES))
def test_every_proxy_gives_the_same_twice(name, make_supernet, make_batch, dataset) -> None:
    supernet, generator = make_supernet("nasrec-full", narrow=True), torch.Generator().manual_seed(1)
    batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(2)])
    tuning = LastLayerTuning(dataset, 3, 16, 40, Optimization(0.1, 16), seed=0)
    training = ShortTraining(dataset, 40, Recipe(Optimization(0.1, 16)), seed=0)
    context = ScoringContext.of(supernet, batches, tuning, training)
    arch = supernet.network.space.sample(random.Random(1))
    first, second = (PROXIES[name](ProxyInputs(context, its)) for its in (arch, arch.canonical()))
    assert first == second

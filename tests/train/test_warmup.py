"""Warm-up: how much, which paths, and what a step changes."""

import copy
import random
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from recnas.candidates.recipe import Optimization
from recnas.nn.elastic import WeightSlices
from recnas.nn.network import ChoiceNetwork
from recnas.train.amount import Amount
from recnas.train.metrics import Metrics
from recnas.train.schedule import cosine_with_warmup
from recnas.train.warmup import Probe, SlicedAdagrad, warm_up
from recnas.util.errors import InputError


@given(st.floats(0, 1), st.integers(0, 10**9))
def test_an_amount_up_to_one_is_a_share_of_the_rows(share: float, available: int) -> None:
    assert Amount(share).epochs == 1
    assert abs(Amount(share).rows(available) - share * available) <= 0.5


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_an_amount_above_one_is_a_number_of_epochs(epochs: int) -> None:
    assert (Amount(epochs).epochs, Amount(epochs).rows(1000)) == (epochs, 1000)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_an_amount_that_is_neither_is_refused(wrong: float) -> None:
    with pytest.raises(InputError, match=f"--warmup {wrong:g}"):
        Amount(wrong)


@pytest.mark.parametrize("fan_in_scale", [None, 4])
def test_learning_slices_is_adagrad_on_whole_parameters(space, fan_in_scale: int | None) -> None:
    torch.manual_seed(0)
    sliced = ChoiceNetwork(space, 2, 3).double()
    whole = copy.deepcopy(sliced)
    optimizer = SlicedAdagrad(sliced, Optimization(0.1, 8, eps=1e-2, fan_in_scale=fan_in_scale))
    reference = torch.optim.Adagrad([{"params": [parameter]} for parameter in whole.parameters()], eps=1e-2)
    rng = random.Random(0)
    for step in range(12):
        dense, fields = torch.randn(8, 2, dtype=torch.float64), torch.randn(8, 3, 16, dtype=torch.float64)
        arch, slices = space.sample(rng), WeightSlices()
        lr = 0.1 / (step + 1)
        sliced(dense, fields, arch, slices).square().mean().backward()
        optimizer.step(slices.taken, lr)
        for parameter in whole.parameters():
            parameter.grad = torch.zeros_like(parameter)
        used = {id(item.parameter): item.leaf for item in slices.taken}
        for group, (name, parameter) in zip(reference.param_groups, sliced.named_parameters(), strict=True):
            group["lr"] = lr
            if fan_in_scale is not None and id(parameter) in used:
                leaf, last = used[id(parameter)], name.startswith("last.weight")
                inputs = leaf.numel() if last else leaf.shape[1] if leaf.ndim == 2 else 1
                group["lr"] = lr * min(1, fan_in_scale / inputs)
        whole(dense, fields, arch).square().mean().backward()
        reference.step()
    for (name, ours), theirs in zip(sliced.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=name)
        torch.testing.assert_close(optimizer.state[name], reference.state[theirs]["sum"], rtol=1e-9, atol=1e-9)


def test_a_learners_paths_lie_in_its_space_and_follow_from_its_seed(make_learner, take_steps) -> None:
    first, second, other = (make_learner(seed) for seed in (1, 1, 2))
    space = first.supernet.network.space
    paths = [[learner.next_paths() for _ in range(20)] for learner in (first, second, other)]
    assert all(path in space for (path,) in paths[0])
    assert paths[0] == paths[1] != paths[2]


def test_full_paths_give_way_to_random_ones(make_learner) -> None:
    learner = make_learner(full_path_steps=100)
    full = learner.supernet.network.space.full_path()

    def share(step: int) -> float:
        learner.steps = step
        return sum(learner.next_paths() == [full] for _ in range(400)) / 400

    assert (share(0), share(100), share(1000)) == (1.0, 0.0, 0.0)
    for step in (25, 50, 75):
        assert abs(share(step) - (1 - step / 100)) < 0.11


def test_several_paths_make_one_update_with_their_mean_gradient(make_learner, make_batch) -> None:
    learner, batch = make_learner(5, paths=3), make_batch(0)
    supernet = learner.supernet
    before = copy.deepcopy(supernet.network)
    paths = make_learner(5, paths=3).next_paths()
    assert len(set(paths)) == 3
    fields = supernet.embeddings(batch.sparse).detach()
    losses = [F.binary_cross_entropy_with_logits(before(batch.dense, fields, arch), batch.label) for arch in paths]
    (sum(losses) / 3).backward()
    learner.set_learning_rate(0.05)
    loss = learner.loss(batch)
    torch.testing.assert_close(loss, sum(losses) / 3)
    loss.backward()
    learner.step()
    # After the first step, Adagrad's sums are the squares of the gradients.
    for name, parameter in before.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(
            learner.optimizer_state()[name].sqrt(), gradient.abs(), rtol=1e-4, atol=1e-6, msg=name
        )
    assert any((sums > 0).any() for sums in learner.optimizer_state().values())
    changed = [not torch.equal(*pair) for pair in zip(supernet.network.parameters(), before.parameters(), strict=True)]
    assert changed == [parameter.grad is not None for parameter in before.parameters()]


def test_the_bound_on_the_gradient_is_on_that_of_all_paths_together(make_learner, make_batch) -> None:
    def norm(**options: float) -> float:
        learner = make_learner(5, paths=3, **options)
        learner.set_learning_rate(0.05)
        learner.loss(make_batch(0)).backward()
        learner.step()
        return sum(sums.sum().item() for sums in learner.optimizer_state().values()) ** 0.5

    free = norm()
    assert norm(clip=free / 3) == pytest.approx(free / 3, rel=1e-4)
    assert norm(clip=free * 3) == pytest.approx(free, rel=1e-4)


def test_a_learner_learns_the_network_and_the_tables(make_learner, make_batch) -> None:
    learner, batch = make_learner(), make_batch(0)
    network = copy.deepcopy(learner.supernet.network.state_dict())
    tables = {name: table.clone() for name, table in learner.supernet.embeddings.tables().items()}
    learner.set_learning_rate(0.1)
    learner.loss(batch).backward()
    learner.step()
    assert learner.steps == 1
    assert any(not torch.equal(tensor, network[name]) for name, tensor in learner.supernet.network.state_dict().items())
    assert all((table != tables[name]).any() for name, table in learner.supernet.embeddings.tables().items())


def test_training_repeats_itself(make_learner, take_steps) -> None:
    first, second = ([*take_steps(make_learner(3), range(6))] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("cores", [1, 4])
def test_a_measurement_that_fails_ends_the_warm_up(
    make_learner, make_batch, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr("recnas.train.warmup.available_cores", lambda: cores * torch.get_num_threads())
    monkeypatch.setattr("recnas.train.warmup.Metrics", None)

    class Rows:
        def rows(self, split: str) -> int:
            return 16

        def batches(self, split: str, *args: object, **options: object) -> list:
            return [make_batch(0)]

    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        warm_up(make_learner(), Rows(), Amount(1), Optimization(0.1, 16), seed=0, probe=Probe(2, rows=16))
    assert not [thread for thread in threading.enumerate() if thread.name == "recnas-probe"]


@pytest.mark.parametrize("cores", [1, 4])
def test_levels_are_those_of_the_weights_at_their_step(
    make_learner, make_batch, space, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr("recnas.train.warmup.available_cores", lambda: cores * torch.get_num_threads())

    class Rows:
        """A data set of four training batches of 16 and two for validation."""

        def rows(self, split: str) -> int:
            return 4 * 16

        def batches(self, split: str, *args: object, **options: object) -> list:
            return [make_batch(number) for number in (range(4) if split == "train" else range(10, 12))]

    optimization = Optimization(0.1, 16)
    said: list[tuple[int, int]] = []
    levels = warm_up(
        make_learner(),
        Rows(),
        Amount(1),
        optimization,
        seed=0,
        probe=Probe(5, rows=32),
        report_measuring=lambda *numbers: said.append(numbers),
    )
    # Two of the four levels are those of the same step.
    assert [asked for _, asked in said] == [15] * len(said)
    if cores == 1:
        assert [done for done, _ in said] == [10, 11, 12, 13, 14, 15]
    assert [(level.fraction, level.rows) for level in levels] == [(0, 0), (0.01, 16), (0.1, 16), (1, 64)]
    rng = random.Random("0/probe")
    candidates = [space.sample(rng) for _ in range(5)]
    for level in levels:
        learner = make_learner()
        for step in range(level.rows // 16):
            learner.set_learning_rate(cosine_with_warmup(step, 4, 0.1))
            learner.loss(make_batch(step)).backward()
            learner.step()
        losses = []
        for arch in candidates:
            metrics = Metrics()
            for number in (10, 11):
                metrics.update(learner.supernet(make_batch(number), arch).detach(), make_batch(number).label)
            losses.append(metrics.log_loss())
        assert level.median == pytest.approx(sorted(losses)[2], rel=1e-6)

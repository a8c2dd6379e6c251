"""Weights on disk: what is written is read back, and what does not fit is refused by name."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from recnas.candidates.embedding_optimizer import NAMES
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel, searched_network
from recnas.train import checkpoint, tensor_files
from recnas.train.checkpoint import (
    Checkpoint,
    load_model_tensors,
    load_supernet,
    model_tensors,
    newest_state,
    save_supernet,
    state_tensors,
)
from recnas.train.tensor_files import load_tensors, save_tensors
from recnas.util.errors import InputError, RunError
from recnas.util.exits import Terminated

DECAY = {"embedding_optimizer": "rowwise-adam", "embedding_penalty": 0.03}


def _model(schema, arch, seed: int) -> CTRModel:
    torch.manual_seed(seed)
    return CTRModel(schema, WholeEmbeddings(schema, 16), searched_network(schema, arch))


def test_a_models_weights_are_written_and_read_back(tmp_path: Path, schema, sample, make_batch) -> None:
    for arch in sample("nasrec-full", 3):
        first, second = (_model(schema, arch, seed) for seed in (0, 1))
        path = tmp_path / "folder" / "weights.safetensors"
        save_tensors(path, model_tensors(first))
        load_model_tensors(second, load_tensors(path), path)
        assert torch.equal(first(make_batch(0)), second(make_batch(0)))
        assert [file.name for file in path.parent.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("options", [{"paths": 1}, {"paths": 3}, {"embedding_optimizer": "adam"}, DECAY])
def test_a_supernet_goes_on_as_if_it_had_never_stopped(tmp_path: Path, make_learner, take_steps, options: dict) -> None:
    first, second = make_learner(0, **options), make_learner(1, **options)
    take_steps(first, range(4))
    save_supernet(tmp_path, first)
    load_supernet(tmp_path, second)
    second.rng.setstate(first.rng.getstate())
    assert take_steps(first, range(4, 8)) == take_steps(second, range(4, 8))
    tensors = [model_tensors(learner.supernet) for learner in (first, second)]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())


@pytest.mark.parametrize("penalty", [0.0, 0.03])
@pytest.mark.parametrize("optimizer", NAMES)
def test_a_training_goes_on_from_its_state_as_if_it_had_never_stopped(
    tmp_path: Path, make_learner, take_steps, optimizer: str, penalty: float
) -> None:
    options = {"embedding_optimizer": optimizer, "embedding_penalty": penalty}
    never, stopped, resumed = (make_learner(seed, **options) for seed in (0, 0, 1))
    losses = take_steps(never, range(8))
    kept = Checkpoint(tmp_path, 0.0, never.processes)
    assert take_steps(stopped, range(5)) == losses[:5]
    kept.save(stopped, {})
    assert kept.restore(resumed) == {}
    # Neither writing nor reading a state changes what is learned.
    for learner in (stopped, resumed):
        assert take_steps(learner, range(5, 8)) == losses[5:]
        own, other = _all_tensors(learner), _all_tensors(never)
        assert own.keys() == other.keys()
        assert all(torch.equal(tensor, other[name]) for name, tensor in own.items())


def _all_tensors(learner) -> dict[str, torch.Tensor]:
    embeddings = learner.model.embeddings
    state = {
        f"{name} {feature}": tensor
        for name, tensors in embeddings.optimizer_state().items()
        for feature, tensor in tensors.items()
    }
    return model_tensors(learner.model) | state | embeddings.decay_state()


@pytest.mark.parametrize("optimizer", NAMES)
def test_the_weights_of_a_state_are_those_of_its_model(
    tmp_path: Path, make_learner, take_steps, optimizer: str
) -> None:
    learner = make_learner(embedding_optimizer=optimizer, embedding_penalty=0.03)
    take_steps(learner, range(5))
    Checkpoint(tmp_path, 0.0, learner.processes).save(learner, {})
    read, own = state_tensors(newest_state(tmp_path)), model_tensors(learner.model)
    assert read.keys() == own.keys()
    for name, tensor in own.items():
        torch.testing.assert_close(read[name], tensor, rtol=1e-4, atol=1e-6)


def test_a_file_that_is_missing_damaged_or_foreign_is_named(tmp_path: Path, schema, sample) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match=r"weights\.safetensors: no such file"):
        load_tensors(path)
    save_tensors(path, model_tensors(_model(schema, *sample("nasrec-small", 1), 0)))
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:100], b"", b"\x80\x04K\x01.", b"\xff" * 200):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"weights\.safetensors: not a whole safetensors file"):
            load_tensors(path)


def test_weights_of_another_model_are_refused_by_the_first_that_does_not_fit(tmp_path: Path, schema, sample) -> None:
    model, source = _model(schema, *sample("nasrec-small", 1), 0), tmp_path / "weights.safetensors"
    tensors = {name: tensor.clone() for name, tensor in model_tensors(model).items()}
    with pytest.raises(InputError, match=r"weights\.safetensors: the weight tables\.user is missing"):
        load_model_tensors(model, {name: t for name, t in tensors.items() if name != "tables.user"}, source)
    with pytest.raises(InputError, match=r"the weight network\.extra is not this model's"):
        load_model_tensors(model, tensors | {"network.extra": torch.zeros(1)}, source)
    with pytest.raises(InputError, match=r"the weight tables\.user is \[41, 16\] where \[40, 16\] is expected"):
        load_model_tensors(model, tensors | {"tables.user": torch.zeros(41, 16)}, source)


def test_a_supernet_of_other_tables_is_refused(tmp_path: Path, schema, make_learner) -> None:
    save_supernet(tmp_path, make_learner())
    with pytest.raises(InputError, match=r"tables\.gender is \[3, 16\] where \[2, 16\] is expected"):
        load_supernet(tmp_path, make_learner(schema=schema.capped(2)))
    fewer = replace(schema, sparse=schema.sparse[:2])
    with pytest.raises(InputError):
        load_supernet(tmp_path, make_learner(schema=fewer))


def test_a_write_that_fails_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"x": torch.ones(3)})

    def fail(tensors, partial: Path) -> None:
        save_file(tensors, partial)
        partial.write_bytes(partial.read_bytes()[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_files, "save_file", fail)
    with pytest.raises(RunError, match=r"weights\.safetensors: the disk is full; free some space"):
        save_tensors(path, {"x": torch.zeros(3)})
    assert torch.equal(load_file(path)["x"], torch.ones(3))


def test_optimizer_state_of_another_kind_or_with_a_sum_missing_is_refused(make_learner, tmp_path: Path) -> None:
    learner = make_learner()
    save_supernet(tmp_path, learner)
    path = tmp_path / "optimizer.safetensors"
    whole = load_tensors(path)
    name = next(iter(whole))
    for broken in ({key: value for key, value in whole.items() if key != name}, whole | {name: torch.zeros(1)}):
        save_tensors(path, broken)
        with pytest.raises(InputError, match=r"optimizer\.safetensors: the weight"):
            load_supernet(tmp_path, learner)


def test_a_refused_file_leaves_the_model_as_it_was(make_learner, tmp_path: Path) -> None:
    learner = make_learner()
    before = {name: tensor.clone() for name, tensor in model_tensors(learner.supernet).items()}
    broken = {name: torch.full_like(tensor, 7) for name, tensor in before.items()}
    del broken[max(broken)]
    with pytest.raises(InputError):
        load_model_tensors(learner.supernet, broken, tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model_tensors(learner.supernet).items())


def test_a_folder_in_place_of_a_weights_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_tensors(tmp_path)


@pytest.mark.parametrize(("seconds", "step"), [(120.0, 0.01), (120.0, 5.0), (2.0, 0.01), (0.0, 0.01)])
def test_several_processes_look_at_the_clock_now_and_then_and_write_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, step: float
) -> None:
    now, looks, written = 0.0, 0, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def first(look: Callable[[], Any]) -> Any:
        nonlocal looks
        looks += 1
        return look()

    kept = checkpoint.Checkpoint(tmp_path, seconds, SimpleNamespace(alone=False, first=first))
    steps = round(3.5 * max(seconds, 1) / step)
    for _ in range(steps):
        now += step
        if kept.due():
            written.append(now)
            kept._written = now
    between = min(1.0, 0.1 * seconds)
    gaps = [after - before for before, after in pairwise(written)]
    assert len(gaps) >= 3
    assert all(seconds - 1e-6 <= gap <= seconds + between + 2 * step for gap in gaps)
    # The first look is at the first step.
    assert looks <= 1 + min(steps, 1.1 * now / max(between, step))


def test_the_seconds_of_a_killed_process_count_up_to_its_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_learner
) -> None:
    learner, now = make_learner(), 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    killed = checkpoint.Checkpoint(tmp_path, 0.0, learner.processes)
    now += 60.0
    assert killed.restore(learner) is None
    now += 5.0
    killed.save(learner, {"note": 1})
    now += 100.0
    kept = checkpoint.Checkpoint(tmp_path, 0.0, learner.processes)
    assert kept.restore(learner) == {"note": 1}
    now += 2.0
    assert kept.spent == 7.0


@pytest.mark.parametrize("error", [Terminated(), KeyboardInterrupt(), MemoryError("Unable to allocate 9 GiB")])
def test_what_is_no_fault_of_the_files_is_not_told_as_such_where_a_state_is_written_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_learner, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    learner = make_learner()
    state = checkpoint.Checkpoint(tmp_path, 0.0, learner.processes)
    state.save(learner, {"note": 1})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.HuggingFaceStorageWriter, "write_data", fail)
        with pytest.raises(type(error)) as raised:
            state.save(learner, {"note": 2})
    assert type(raised.value) is type(error)
    for read in (state.restore, lambda _: checkpoint.state_tensors(checkpoint.newest_state(tmp_path))):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint.HuggingFaceStorageReader, "read_data", fail)
            with pytest.raises(type(error)) as raised:
                read(learner)
        assert type(raised.value) is type(error)
    assert state.restore(learner) == {"note": 1}

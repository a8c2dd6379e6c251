"""Warm-ups of several paths and other batches, held against random candidates that were trained in full."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import recnas
from benchmarks import variants
from benchmarks.variants import SeveralPaths, four_random, main, one_random, read_truth, sandwich, without_tables
from data_prep import prepare
from recnas.data import Dataset
from recnas.nn.model import Supernet
from recnas.proxies import collect
from recnas.search.scoring import build_supernet, read_proxy_batches
from recnas.search.settings import Settings
from recnas.train.settings import Amount
from recnas.train.warmup import PathLearner, warm_up


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random search that has ended."""
    folder = tmp_path_factory.mktemp("variants")
    prepare("synthetic", folder / "data", rows=600, seed=0)
    recnas.search(
        folder / "data",
        folder / "run",
        strategy="random",
        proxy={"score": "none", "batches": 2, "batch_size": 8},
        evolution={"population": 4, "iterations": 0, "tournament": 1, "children": 1},
        limits={"max_flops": 400_000},
        warmup={"max_rows_per_table": 500},
        final={"top_k": 4, "baselines": [], "other_learning_rates": [0.01]},
    )
    return folder / "run"


def warmed(run: Path, make: Callable[[Supernet, Settings], PathLearner]) -> Supernet:
    settings = read_truth([run]).settings
    dataset = Dataset(settings.data)
    torch.set_num_threads(1)
    supernet = build_supernet(settings, dataset)
    warm_up(make(supernet, settings), dataset, Amount(0.5), settings.warmup.optimization, seed=0)
    return supernet


def test_one_path_a_step_is_the_warm_up_of_a_search(run: Path) -> None:
    ours = warmed(run, lambda net, has: SeveralPaths(net, has.warmup.optimization, random.Random(0), one_random))
    usual = warmed(run, lambda net, has: PathLearner(net, has.warmup.optimization, random.Random(0)))
    fresh = build_supernet(read_truth([run]).settings, Dataset(read_truth([run]).settings.data))
    changed = 0
    for mine, other, start in zip(*(net.network.parameters() for net in (ours, usual, fresh)), strict=True):
        torch.testing.assert_close(mine, other)
        changed += not torch.equal(mine, start)
    assert changed
    for mine, other in zip(ours.embeddings.tables().values(), usual.embeddings.tables().values(), strict=True):
        torch.testing.assert_close(mine, other)


def test_several_paths_make_one_update_with_their_mean_gradient(run: Path) -> None:
    settings = read_truth([run]).settings
    dataset = Dataset(settings.data)
    (batch, *_) = dataset.batches("train", 32, seed=0, max_rows_per_table=500)
    for draw in (four_random, sandwich):
        supernet = build_supernet(settings, dataset)
        learner = SeveralPaths(supernet, settings.warmup.optimization, random.Random(1), draw)
        learner.set_learning_rate(0.0)
        archs = draw(supernet, random.Random(1))
        assert len(archs) == 4
        fields = supernet.embeddings(batch.sparse).detach()
        losses = [
            torch.nn.functional.binary_cross_entropy_with_logits(
                supernet.network(batch.dense, fields, arch), batch.label
            )
            for arch in archs
        ]
        named = dict(supernet.network.named_parameters())
        wanted = torch.autograd.grad(sum(losses) / 4, list(named.values()), allow_unused=True)
        learner.loss(batch).backward()
        found = {id(item.parameter): item for item in learner._together().taken}
        assert len(found) == sum(gradient is not None for gradient in wanted)
        for parameter, gradient in zip(named.values(), wanted, strict=True):
            if gradient is not None:
                own = found[id(parameter)].leaf.grad
                whole = torch.zeros_like(parameter)
                whole[tuple(map(slice, own.shape))] = own
                torch.testing.assert_close(whole, gradient)


def test_without_tables_nothing_is_said_of_them(run: Path) -> None:
    truth = read_truth([run])
    dataset = Dataset(truth.settings.data)
    supernet = build_supernet(truth.settings, dataset)
    batches = read_proxy_batches(truth.settings, dataset, supernet)
    seen = set()
    for arch in truth.losses:
        whole, bare = collect(supernet, arch, batches), collect(supernet, arch, without_tables(batches))
        assert whole.losses == bare.losses
        reads = any(0 in block.sparse_inputs for block in arch.blocks)
        assert len(whole.modules) - len(bare.modules) == (len(batches.tables) if reads else 0)
        assert (whole.projections != bare.projections) == reads
        seen.add(reads)
        assert whole.modules[: len(bare.modules)] == bare.modules
    assert True in seen


def test_every_way_has_a_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(variants, "PUBLISHED", (2, 8))
    monkeypatch.setattr(variants, "OTHER_BATCHES", ((3, 8),))
    main([str(run), "--warmup", "0.5", "--output", str(tmp_path / "table.md")])
    shown = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == shown
    lines = shown.splitlines()
    assert lines[0].startswith("4 random candidates of nasrec-small on ")
    fresh = [line.split("|")[1].strip() for line in lines[4:9]]
    assert fresh == ["`jacov`", "`brief`", "`parameters`", "`flops`", "`jacov - brief, terms standardised`"]
    kinds = [[cell.strip() for cell in line.split("|")[1:4]] for line in lines[12:]]
    assert kinds == [
        ["0.5", "1 random", "2 × 8"],
        ["0.5", "1 random", "2 × 8, no tables"],
        ["0.5", "1 random", "3 × 8"],
        ["0.5", "4 random", "2 × 8"],
        ["0.5", "sandwich", "2 × 8"],
    ]


def test_what_is_no_random_search_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is no search that has ended"):
        main([str(tmp_path)])
    other = tmp_path / "run"
    other.mkdir()
    settings = (run / "config.yaml").read_text()
    (other / "config.yaml").write_text(settings)
    with pytest.raises(SystemExit, match="is no search that has ended"):
        main([str(other)])
    (other / "results.json").write_text((run / "results.json").read_text())
    (other / "config.yaml").write_text(settings.replace("score: none", "score: jacov"))
    with pytest.raises(SystemExit, match="ranked its candidates"):
        main([str(other)])
    (other / "config.yaml").write_text(settings.replace("batch_size: 256", "batch_size: 255"))
    with pytest.raises(SystemExit, match="in more than its seed"):
        main([str(run), str(other)])

"""Warm-ups of several paths and other batches, held against random candidates that were trained in full."""

from __future__ import annotations

from pathlib import Path

import pytest

import recnas
from benchmarks import variants
from benchmarks.variants import WAYS, main, read_truth, without_tables
from recnas.data import Dataset
from recnas.data_prep import prepare
from recnas.nn.model import sizes
from recnas.proxies.statistics import collect
from recnas.search.scoring import build_supernet, read_proxy_batches
from recnas.space import cost

pytestmark = pytest.mark.slow


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
        limits={"max_macs": 400_000},
        warmup={"max_rows_per_table": 500},
        final={"top_k": 4, "baselines": [], "other_learning_rates": [0.01]},
    )
    return folder / "run"


def test_ways_differ_in_their_paths_alone(run: Path) -> None:
    settings = read_truth([run]).settings
    supernet = build_supernet(settings, Dataset(settings.data))
    space = supernet.network.space
    learners = {way.words: way.learner(settings, supernet) for way in WAYS}
    paths = {words: [arch for _ in range(20) for arch in learner.next_paths()] for words, learner in learners.items()}
    assert {words: len(drawn) // 20 for words, drawn in paths.items()} == {
        "1 random": 1,
        "4 random": 4,
        "sandwich": 4,
        "1 within limits": 1,
        "4 within limits": 4,
        "8 within limits": 8,
    }
    assert paths["sandwich"][::4] == [space.full_path()] * 20
    assert len(set(paths["sandwich"][1::4])) == 1
    for words, drawn in paths.items():
        within = [cost.macs(arch, *sizes(supernet.schema)) <= settings.limits.max_macs for arch in drawn]
        assert all(within) == words.endswith("limits")
    assert paths["1 random"] == paths["4 random"][:20]
    assert all(learner.optimization == settings.warmup.optimization for learner in learners.values())


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
    assert fresh == [
        "`jacov`",
        "`short_training`",
        "`parameters`",
        "`macs`",
        "`jacov - short_training, terms standardised`",
    ]
    kinds = [[cell.strip() for cell in line.split("|")[1:4]] for line in lines[12:]]
    assert kinds == [
        ["0.5", "1 random", "2 × 8"],
        ["0.5", "1 random", "2 × 8, no tables"],
        ["0.5", "1 random", "3 × 8"],
        ["0.5", "4 random", "2 × 8"],
        ["0.5", "sandwich", "2 × 8"],
        ["0.5", "1 within limits", "2 × 8"],
        ["0.5", "4 within limits", "2 × 8"],
        ["0.5", "8 within limits", "2 × 8"],
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
    (other / "config.yaml").write_text(settings.replace("max_macs: 400000", "max_macs: 400001"))
    with pytest.raises(SystemExit, match="in more than its seed"):
        main([str(run), str(other)])

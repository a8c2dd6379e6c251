"""Proxies by name: the package's own, and a user's."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch

from recnas.candidates.recipe import Optimization, Recipe
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.declaration import Declaration, Reads
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.registry import PROXIES, find_proxy
from recnas.proxies.short_training import ShortTraining
from recnas.proxies.tuning import LastLayerTuning
from recnas.space import SPACES
from recnas.util.errors import InputError


@pytest.mark.parametrize("space", SPACES)
def test_every_proxy_gives_random_candidates_a_finite_number(space: str, make_supernet, make_batch, dataset) -> None:
    supernet, generator, rng = make_supernet(space), torch.Generator().manual_seed(1), random.Random(1)
    batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(4)])
    tuning = LastLayerTuning(dataset, 3, 16, 40, Optimization(0.1, 16), seed=0)
    training = ShortTraining(dataset, 40, Recipe(Optimization(0.1, 16)), seed=0)
    context = ScoringContext.of(supernet, batches, tuning, training)
    for _ in range(3):
        candidate = ProxyInputs(context, supernet.network.space.sample(rng))
        for name, proxy in PROXIES.items():
            assert math.isfinite(candidate.measure(proxy).value), name


@pytest.mark.parametrize("space", SPACES)
def test_parameters_are_those_of_the_finished_network(space: str, make_case) -> None:
    case, rng = make_case(space, batches=2), random.Random(2)
    for _ in range(10):
        arch = case.supernet.network.space.sample(rng)
        expected = sum(parameter.numel() for parameter in case.network(arch).parameters())
        assert find_proxy("parameters")(case.candidate(arch)) == expected


def test_a_wider_network_of_the_same_shape_has_more_flops(make_case) -> None:
    case = make_case("nasrec-full", batches=2)
    arch = case.supernet.network.space.sample(random.Random(3))
    wider = arch.__class__(tuple(block.__class__(**{**vars(block), "dense_width": 256}) for block in arch.blocks))
    macs = find_proxy("macs")
    assert macs(case.candidate(wider)) > macs(case.candidate(arch))


def declaring(**values: str) -> set[str]:
    """The proxies that declare this."""
    return {
        name
        for name, proxy in PROXIES.items()
        if all(getattr(proxy.declaration, key) == value for key, value in values.items())
    }


def test_losses_rank_low_values_first_and_all_others_high_ones() -> None:
    assert declaring(direction="lower") == {"loss", "one_shot", "short_training"}


def test_what_looks_at_no_weights_or_is_published_for_fresh_ones_asks_for_no_warm_up() -> None:
    assert declaring(weights="none") == {"zen", "short_training", "parameters", "macs"}
    assert declaring(weights="fresh") == {"jacov", "naswot", "epe_nas"}


def test_proxies_declare_what_their_time_is_guessed_by() -> None:
    gradients = {
        "zico",
        "zico_mean",
        "fr",
        "mean_abs_gradient",
        "gradient_std",
        "l2_norm",
        "plain",
        "grad_norm",
        "snip",
    }
    assert declaring(reads="gradients") == gradients
    assert declaring(reads="rows") == {"jacov", "naswot", "epe_nas"}
    assert declaring(reads="arch") == {"parameters", "macs"}
    assert {name for name, proxy in PROXIES.items() if proxy.declaration.trains} == {"one_shot", "short_training"}


def test_a_study_measures_what_needs_no_gradients_before_what_has_them() -> None:
    # The loss comes with gradients: measured later, it would not be told what it takes alone.
    assert next(iter(PROXIES)) == "loss"


def test_every_proxy_reads_what_it_declares(make_supernet, make_batch, dataset, monkeypatch) -> None:
    """Nothing else is asked of what it is given, but for what costs nothing."""
    supernet, generator = make_supernet("nasrec-full", narrow=True), torch.Generator().manual_seed(1)
    batches = ProxyBatches(supernet, [make_batch(generator) for _ in range(4)])
    tuning = LastLayerTuning(dataset, 3, 16, 40, Optimization(0.1, 16), seed=0)
    training = ShortTraining(dataset, 40, Recipe(Optimization(0.1, 16)), seed=0)
    arch, asked = supernet.network.space.sample(random.Random(1)), set()

    class Watched(ProxyInputs):
        def __getattribute__(self, name: str):
            asked.add(name)
            return super().__getattribute__(name)

    for name, proxy in PROXIES.items():
        inputs = Watched(ScoringContext.of(supernet, batches, tuning, training), arch)
        asked.clear()
        proxy(inputs)
        costly = asked & set(get_args(Reads)) - {"arch", "supernet"}
        declared = proxy.declaration.reads
        if declared in ("arch", "supernet"):
            assert not costly, name
            assert declared in asked, name
        else:
            # Statistics are measured on the batches.
            assert declared in costly <= {declared, "batches"}, name


@pytest.mark.parametrize(
    "wrong", [{"direction": "up"}, {"weights": "cold"}, {"reads": "everything"}], ids=lambda wrong: next(iter(wrong))
)
def test_a_proxy_cannot_declare_what_is_not_known(wrong: dict[str, str]) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}; a proxy declares one of "):
        Declaration(**wrong)


def test_names_are_those_of_the_functions() -> None:
    assert all(find_proxy(name).__name__ == name for name in PROXIES)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module into the working directory."""

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return write


def test_a_function_of_a_module_of_ones_own_is_a_proxy(own, make_case) -> None:
    own("my_proxies", "def layers(candidate):\n    return float(len(candidate.gradients.modules))\n")
    case = make_case("nasrec-small")
    candidate = case.candidate(case.supernet.network.space.sample(random.Random(0)))
    assert candidate.measure(find_proxy("my_proxies:layers")).value == len(candidate.gradients.modules)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("zicoo", "no proxy is named 'zicoo'; known are loss, zico, "),
        ("brief", "the proxy 'brief' is called 'short_training' now"),
        ("", "no proxy is named ''"),
        ("no_such_module", "module:function"),
        ("no_such_module:layers", "no_such_module cannot be imported"),
        (":layers", "no proxy is named ':layers'"),
        (".near:layers", "no proxy is named '.near:layers'"),
        ("math:", "no proxy is named 'math:'"),
        ("math:no_such_function", "the module math has no no_such_function"),
        ("math:pi", "pi is not a function"),
        ("broken_import:layers", "broken_import cannot be imported (No module named 'no_such_library')"),
        ("broken_text:layers", "broken_text cannot be imported"),
        ("broken_code:layers", "broken_code cannot be imported"),
    ],
)
def test_what_names_no_proxy_is_told_in_one_line(name: str, said: str, own) -> None:
    own("broken_import", "import no_such_library\n")
    own("broken_text", "def layers(candidate)\n")
    own("broken_code", "import math\nmath.no_such_thing\n")
    with pytest.raises(InputError) as error:
        find_proxy(name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)

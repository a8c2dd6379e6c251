from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml

from recnas.cli.commands import make_parser
from recnas.proxies.expression import Expression, Ranking
from recnas.runs.presets import load_preset, with_preset
from recnas.search import EvolutionSettings, Settings
from recnas.study.settings import StudySettings
from recnas.util.documents import parse_yaml
from recnas.util.errors import InputError
from recnas.util.plain_values import leaves, merge

PRESETS = [
    item.name.removesuffix(".yaml")
    for item in resources.files("recnas.configs").iterdir()
    if item.name.endswith(".yaml")
]


RANKED, TRAINED = ["cross", "criteo", "avazu", "kdd"], ["demo", "quick", "default", "thorough"]


def test_presets_are_there_for_each_data_set_and_for_more_or_less_time() -> None:
    assert sorted(PRESETS) == sorted([*RANKED, *TRAINED])


@pytest.mark.parametrize("name", RANKED)
def test_what_is_ranked_has_the_published_evolution_or_less_of_it(name: str) -> None:
    settings = Settings.from_mapping(load_preset(name), name)
    iterations = 112 if name == "cross" else 240
    assert settings.evolution == EvolutionSettings(population=128, iterations=iterations, tournament=64, children=8)
    assert settings.proxy.batches == 4
    assert settings.space == ("nasrec-cross" if name == "cross" else "nasrec-small")
    assert not settings.trains


@pytest.mark.parametrize("name", TRAINED)
def test_the_other_presets_are_the_recommended_search_with_another_budget(name: str) -> None:
    settings = Settings.from_mapping(load_preset(name), name)
    assert settings.trains
    assert (settings.families, settings.block_space) == (Settings().families, Settings().block_space)
    assert (settings.limit == Settings().limit) == (name == "default")


@pytest.mark.parametrize("name", ["criteo", "avazu", "kdd"])
def test_real_data_sets_have_the_published_training(name: str) -> None:
    settings = Settings.from_mapping(load_preset(name), name)
    warmup, final = settings.warmup, settings.final
    assert (warmup.amount, warmup.optimization.learning_rate, warmup.optimization.batch_size) == (0.01, 0.12, 512)
    assert (final.top_k, final.epochs, final.optimization.batch_size) == (15, 1, 256)


def test_the_warm_up_is_what_the_ranking_asks_for_unless_it_is_given() -> None:
    def amount(score: str, **warmup: float) -> float | None:
        return Settings.from_mapping({"proxy": {"score": score}, "warmup": warmup}).warmup_amount

    assert (amount("sigeo"), amount("jacov")) == (0.01, 0.0)
    assert (amount("sigeo", amount=0), amount("jacov", amount=0.1)) == (0.0, 0.1)
    # The published search is one flag away.
    published = Settings.from_mapping({"proxy": {"score": "sigeo"}})
    assert published.ranking == Ranking(Expression({"zico": 1.0, "fr": 1.0, "loss": -1.0}))
    assert published.warms_up
    assert not Settings().warms_up
    assert published.explorer == "evolution"
    # Where nothing is said of a ranking, nothing is ranked.
    assert Settings().explorer == "portfolio"
    assert Settings().trains
    assert Settings.from_mapping({"proxy": {"rerank": 30}}).explorer == "random"
    assert Settings(strategy="evolution").explorer == "evolution"
    assert replace(published, strategy="random").explorer == "random"
    # With one stage of the ranking, or in a study, it does not matter how many are re-ranked.
    StudySettings.from_mapping({"proxy": {"rerank": 1}})
    Settings.from_mapping({"proxy": {"score": "sigeo", "rerank": 1}})


def test_every_preset_warms_up_as_it_was_measured() -> None:
    amounts = {name: Settings.from_mapping(load_preset(name), name).warmup_amount for name in RANKED}
    assert amounts == {"cross": 0.3, "criteo": 0.01, "avazu": 0.01, "kdd": 0.01}
    assert all(Settings.from_mapping(load_preset(name), name).warms_up for name in RANKED)


def test_settings_survive_writing_and_reading() -> None:
    settings = Settings.from_mapping(merge(load_preset("cross"), {"data": "d", "run": "r", "seed": 3}))
    assert Settings.from_mapping(settings.to_mapping()) == settings


def test_every_setting_has_a_flag_of_its_own_and_a_help_text() -> None:
    described = {".".join(path): about for path, _, about in leaves(Settings)}
    assert {name for name, about in described.items() if about is None} == {"data", "run", "strategy_trains"}
    flags = [about.flag for about in described.values() if about is not None]
    flags += [about.former_flag for about in described.values() if about is not None and about.former_flag]
    assert len(set(flags)) == len(flags)
    assert all(about.help and not about.help.endswith(".") for about in described.values() if about is not None)
    # What is yes or no has no value.
    alone = {about.flag for _, kind, about in leaves(Settings) if about is not None and bool in (kind, *get_args(kind))}
    for flag in flags:
        given = [flag] if flag in alone else [flag, "1"]
        assert make_parser().parse_args(["search", *given]).__dict__.keys() >= {"data", "run"}


def test_settings_are_read_by_their_former_names_too_but_not_by_both(tmp_path: Path) -> None:
    former = {
        "limits": {"max_flops": 5},
        "evolution": {"objectives": ["score", "flops"]},
        "proxy": {"brief_rows": 7, "shortlist": 99},
    }
    settings = Settings.from_mapping(former)
    assert settings.limits.max_macs == 5
    assert settings.evolution.objectives == ("score", "macs")
    assert settings.proxy.short_training_rows == 7
    assert settings.proxy.rerank == 99
    assert Settings.known_in(former, "config.yaml") == settings
    preset = tmp_path / "my.yaml"
    preset.write_text(yaml.safe_dump(former), encoding="utf-8")
    # What is given counts, whatever name it stands for in the preset.
    given = with_preset("d", "r", str(preset), {"limits": {"max_macs": 9}})
    assert given["limits"] == {"max_macs": 9}
    assert with_preset("d", "r", None, {"limits": {"max_flops": 9}})["limits"] == {"max_macs": 9}
    with pytest.raises(InputError, match=r"^my\.yaml: max_flops is called max_macs now; leave one of them out$"):
        Settings.from_mapping({"limits": {"max_flops": 5, "max_macs": 5}}, "my.yaml")


LEAST = {"bins": 16, "pieces": 8, "embedding_dim": 4, "fan_in_scale": 1}
"""What cannot be smaller, by itself."""


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if len(path) > 1 else value}


@pytest.mark.parametrize(
    ("path", "small"),
    [
        (path, LEAST.get(path[-1], 2 if int in (kind, *get_args(kind)) else 0.5))
        for path, kind, _ in leaves(Settings)
        if {int, float} & {kind, *get_args(kind)} and get_origin(kind) is not tuple
    ],
)
def test_a_small_value_alone_fits_all_that_is_not_given(path: tuple[str, ...], small: float) -> None:
    """Settings are held against each other only where the strategy uses both, and what nobody gave follows."""
    if path == ("proxy", "rerank"):
        # Both are used, and fewer finalists than asked for would be silent.
        with pytest.raises(InputError, match="raise --rerank or lower --top-k"):
            Settings.from_mapping(nested(path, small))
    else:
        Settings.from_mapping(nested(path, small))


def test_a_precision_that_nobody_knows_is_refused() -> None:
    assert Settings.from_mapping({"proxy": {"precision": "bf16"}}).proxy.precision == "bf16"
    with pytest.raises(InputError, match="precision is 'fp8'; it must be one of fp32, bf16"):
        Settings.from_mapping({"proxy": {"precision": "fp8"}})


def test_rounds_are_checked_where_there_are_rounds_and_name_the_flags() -> None:
    evolution = {"population": 4, "children": 2, "tournament": 64}
    assert Settings.from_mapping({"evolution": evolution}).explorer == "random"
    Settings.from_mapping({"strategy": "evolution", "evolution": evolution | {"tournament": None}})
    Settings.from_mapping({"strategy": "evolution", "evolution": evolution | {"iterations": 0}})
    Settings.from_mapping({"strategy": "evolution", "evolution": evolution, "final": {"top_k": 0, "baselines": ["lr"]}})
    with pytest.raises(InputError, match=r"tournament of 64 .* population of 4; lower --tournament or raise"):
        Settings.from_mapping({"strategy": "evolution", "evolution": evolution})
    with pytest.raises(InputError, match=r"8 children .* population of 4; lower --children or raise --population"):
        Settings.from_mapping({"strategy": "evolution", "evolution": {"population": 4}})


def test_a_later_value_replaces_only_its_own_setting() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}}) == {"a": {"b": 5, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sede": 1}, "unknown setting 'sede'"),
        ({"warmup": {"amuont": 1}}, "unknown setting 'warmup.amuont'"),
        ({"warmup": 0.1}, "a mapping is expected"),
        ({"seed": "one"}, "seed is 'one' where a whole number is expected"),
        ({"seed": True}, "where a whole number is expected"),
        ({"seed": 10**19}, r"seed is 10000000000000000000; it must be a number below 1e\+18"),
        ({"final": {"optimization": {"learning_rate": float("inf")}}}, "learning_rate is inf; it must be finite"),
        ({"final": {"optimization": {"eps": "1e-2"}}}, "1.0e-2"),
        ({"warmup": {"amount": 1.5}}, "must be whole"),
        ({"warmup": {"amount": -1}}, "--warmup -1"),
        ({"space": "nasrec-medium"}, "nasrec-small, nasrec-full"),
        ({"proxy": {"batches": 1}}, "2 or more"),
        ({"proxy": {"score": "zico fr"}}, "not understood"),
        ({"proxy": {"score": "zico | fr | loss"}}, "a first stage and a second one that ranks"),
        ({"proxy": {"rerank": 8}, "final": {"top_k": 9}}, "8 re-ranked candidates cannot give 9 finalists"),
        ({"final": {"optimization": {"embedding_optimizer": "sgd"}}}, "rowwise-adagrad"),
        ({"final": {"baselines": ["deep-fm"]}}, "no baseline is named .deep-fm.; known are lr, dnn"),
        ({"warmup": {"optimization": {"learning_rate": 0.0}}}, "must be above 0"),
        ({"final": {"strategy": "5"}}, "--finalists takes full or halving"),
        ({"final": {"top_k": 0, "baselines": []}}, "neither candidates"),
        ({"final": {"first_share": 1.0}}, "first_share is 1; it must be above 0 and below 1"),
    ],
)
def test_a_wrong_setting_is_named(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Settings.from_mapping(values, "my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_missing_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'critoe'.*criteo"):
        load_preset("critoe")


def test_yaml_that_would_run_code_or_is_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not YAML"):
        parse_yaml("a: !!python/object/apply:os.system ['true']", "x.yaml")
    with pytest.raises(InputError, match="mapping"):
        parse_yaml("- 1", "x.yaml")
    with pytest.raises(InputError, match="not YAML"):
        parse_yaml("a: [", "x.yaml")

"""Settings that are described at their fields: flags by prefix, groups, and names of before."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from recnas.util.errors import InputError
from recnas.util.plain_values import from_plain, leaves, with_present_names
from recnas.util.setting import group, setting


@dataclass(frozen=True)
class Rates:
    learning_rate: float = setting(0.1, help="peak", former_name="speed")


@dataclass(frozen=True)
class Warmup:
    amount: float = setting(1.0, help="how much", flag="--warmup")
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True)
class Everything:
    folder: str = ""
    kinds: tuple[str, ...] = setting(("score",), help="what to look for", former_values={"flops": "macs"})
    warmup: Warmup = field(default_factory=Warmup, metadata=group("before the search", "warmup-"))
    rates: Rates = field(default_factory=Rates)


def test_flags_are_made_of_names_and_the_prefix_of_what_is_around_them() -> None:
    described = {".".join(path): about for path, _, about in leaves(Everything)}
    assert described.pop("folder") is None
    assert {name: (about.flag, about.former_flag, about.group) for name, about in described.items()} == {
        "kinds": ("--kinds", None, None),
        "warmup.amount": ("--warmup", None, "before the search"),
        "warmup.rates.learning_rate": ("--warmup-learning-rate", "--warmup-speed", "before the search"),
        "rates.learning_rate": ("--learning-rate", "--speed", None),
    }


def test_names_of_before_are_read_at_every_depth_and_what_is_unknown_is_left_to_the_reader() -> None:
    former = {"warmup": {"rates": {"speed": 0.5}}, "kinds": ["score", "flops"], "unknown": 1, "rates": None}
    present = {"warmup": {"rates": {"learning_rate": 0.5}}, "kinds": ["score", "macs"], "unknown": 1, "rates": None}
    assert with_present_names(Everything, former, "x") == present
    assert with_present_names(Everything, present, "x") == present
    # The values that were given are as they were.
    assert former["kinds"] == ["score", "flops"]
    del former["unknown"], former["rates"]
    assert from_plain(Everything, former, "x") == Everything(kinds=("score", "macs"), warmup=Warmup(rates=Rates(0.5)))
    with pytest.raises(InputError, match=r"^x: speed is called learning_rate now; leave one of them out$"):
        from_plain(Everything, {"rates": {"speed": 1.0, "learning_rate": 1.0}}, "x")

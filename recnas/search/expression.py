"""What candidates are ranked by: a weighted sum of proxies, such as `zico + fr - loss`. Reading one needs no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from recnas.errors import InputError

SIGEO = "sigeo"
NONE = "none"
LESS_IS_BETTER = {"loss", "one_shot", "brief"}
"""Proxies that are losses."""
NOT_INHERITED = {"zen", "brief", "parameters", "flops"}
"""Proxies that do not look at the weights that a candidate inherits, so that no warm-up changes them."""
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NAME = r"[A-Za-z_][\w.]*(?::[A-Za-z_]\w*)?"
_TERM = re.compile(rf"\s*(?P<sign>[+-])?\s*(?:(?P<weight>{_NUMBER})\s*\*\s*)?(?P<name>{_NAME})\s*")


def direction(name: str) -> int:
    """1 for a proxy of which more is better, as published; -1 where less is."""
    return -1 if name in LESS_IS_BETTER else 1


@dataclass(frozen=True)
class Expression:
    """A weighted sum of proxies; higher is better.

    Attributes:
        weights: By name.
    """

    weights: Mapping[str, float]

    @classmethod
    def parse(cls, text: str, warmup: float = 1.0) -> Expression:
        """Reads `name`, or a sum such as `zico + 1*fr - 1*loss`.

        A name alone, without a sign, ranks as published: `loss` ranks low losses first. In a sum every sign is yours.
        `sigeo` is ZiCo + log FR - training loss, the weights that SiGeo's paper takes for CTR spaces; without a warm-up
        the loss says nothing and is left out. `none` ranks nothing.

        Args:
            text: What to read.
            warmup: The amount of warm-up, for `sigeo`.

        Raises:
            InputError: It is no such sum.
        """
        text = text.strip()
        if text == NONE:
            return cls({})
        if text == SIGEO:
            return cls({"zico": 1.0, "fr": 1.0} | ({"loss": -1.0} if warmup > 0 else {}))
        weights: dict[str, float] = {}
        place = 0
        while place < len(text) or not weights:
            found = _TERM.match(text, place)
            if found is None or (weights and not found["sign"]):
                raise InputError(
                    f"proxy {text!r}: {text[place:]!r} is not understood; give a name, or a sum such as "
                    "'zico + 0.5*fr - loss'"
                )
            if found["name"] in weights:
                raise InputError(f"proxy {text!r}: {found['name']} is there twice")
            if not math.isfinite(weight := float(found["weight"] or 1)):
                raise InputError(f"proxy {text!r}: {found['weight']} is too large")
            weights[found["name"]] = -weight if found["sign"] == "-" else weight
            place = found.end()
        if re.fullmatch(_NAME, text):
            weights[text] *= direction(text)
        return cls(weights)

    @property
    def inherits(self) -> bool:
        """Whether it looks at inherited weights, so that it needs a warm-up."""
        return any(weight and name not in NOT_INHERITED for name, weight in self.weights.items())

    def score(self, values: Mapping[str, float]) -> float:
        """The sum; terms of weight 0 are left out. Where it is not a finite number it is -inf, the worst."""
        total = sum((weight * values[name] for name, weight in self.weights.items() if weight), 0.0)
        return total if math.isfinite(total) else -math.inf

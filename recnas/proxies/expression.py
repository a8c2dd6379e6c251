"""What candidates are ranked by: a weighted sum of proxies, such as `zico + fr - loss`, or two stages, the second for
the best of the first.

Reading one needs no torch; `proxies`, and what hangs on what they declare, imports them when it is asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recnas.util.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from recnas.proxies.declaration import Declaration, Proxy

SIGEO = "sigeo"
NONE = "none"
USUAL_WARMUP = 0.01
"""The published amount of warm-up, for what uses trained weights."""
THEN = "|"
"""Stands between two stages."""
SECOND_STAGE = "jacov - short_training"
USUAL = f"jacov {THEN} {SECOND_STAGE}"
"""Of what needs neither a warm-up nor trained networks to be fitted to, it ranked best; see docs/ranking.md."""
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NAME = r"[A-Za-z_][\w.]*(?::[A-Za-z_]\w*)?"
_TERM = re.compile(rf"\s*(?P<sign>[+-])?\s*(?:(?P<weight>{_NUMBER})\s*\*\s*)?(?P<name>{_NAME})\s*")


@dataclass(frozen=True)
class Expression:
    """A weighted sum of proxies; higher is better.

    Attributes:
        terms: The weight of each proxy, as it is written.
        alone: Whether it is a name without a sign, which ranks in the direction that the proxy declares.
    """

    terms: Mapping[str, float]
    alone: bool = False

    @classmethod
    def parse(cls, text: str, warmup: float = 1.0) -> Expression:
        """Reads `name`, or a sum such as `zico + 1*fr - 1*loss`.

        A name alone, without a sign, ranks as its proxy declares: `loss` ranks low losses first. In a sum every sign is
        yours. `sigeo` is ZiCo + log FR - training loss, the weights that SiGeo's paper takes for CTR spaces; without a
        warm-up the loss says nothing and is left out. `none` ranks nothing.

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
        terms: dict[str, float] = {}
        place = 0
        while place < len(text) or not terms:
            found = _TERM.match(text, place)
            if found is None or (terms and not found["sign"]):
                raise InputError(
                    f"proxy {text!r}: {text[place:]!r} is not understood; give a name, or a sum such as "
                    "'zico + 0.5*fr - loss'"
                )
            if found["name"] in terms:
                raise InputError(f"proxy {text!r}: {found['name']} is there twice")
            if not math.isfinite(weight := float(found["weight"] or 1)):
                raise InputError(f"proxy {text!r}: {found['weight']} is too large")
            terms[found["name"]] = -weight if found["sign"] == "-" else weight
            place = found.end()
        return cls(terms, alone=re.fullmatch(_NAME, text) is not None)

    @property
    def names(self) -> list[str]:
        """The proxies that count."""
        return [name for name, weight in self.terms.items() if weight]

    @property
    def proxies(self) -> dict[str, Proxy]:
        """The proxies that count, by name; those of your own are imported.

        Raises:
            InputError: There is none of a name.
        """
        from recnas.proxies.registry import find_proxy

        return {name: find_proxy(name) for name in self.names}

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each proxy.

        Raises:
            InputError: There is no proxy of the name that stands alone.
        """
        if not self.alone:
            return self.terms
        return self.directed({name: proxy.declaration for name, proxy in self.proxies.items()}).terms

    def directed(self, declarations: Mapping[str, Declaration]) -> Expression:
        """The same sum, with the sign of a name that stands alone as these declarations have it; imports no proxy."""
        if not self.alone:
            return self
        return Expression({name: weight * declarations[name].sign for name, weight in self.terms.items()})

    def score(self, values: Mapping[str, float]) -> float:
        """The sum; terms of weight 0 are left out. Where it is not a finite number it is -inf, the worst."""
        total = sum((weight * values[name] for name, weight in self.weights.items() if weight), 0.0)
        return total if math.isfinite(total) else -math.inf

    def standardised_scores(self, candidates: Sequence[Mapping[str, float]]) -> list[float]:
        """The sum for each of some candidates, of terms that are first brought to one scale over them.

        Args:
            candidates: Their values by proxy.

        Returns:
            A score for each; -inf, the worst, where a term is not a finite number.
        """
        import numpy as np

        total = np.zeros(len(candidates))
        for name, weight in self.weights.items():
            if not weight:
                continue
            values = np.array([values[name] for values in candidates])
            total += weight * normal_scores(values)
            total[~np.isfinite(values)] = -np.inf
        return total.tolist()


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Values brought to a standard normal distribution by their ranks, equal ones shared; NaN and -inf are lowest."""
    import numpy as np
    from scipy.stats import norm, rankdata

    ranks = rankdata(np.where(np.isfinite(values), values, -np.inf))
    return norm.ppf((ranks - 0.5) / len(values))


@dataclass(frozen=True)
class Ranking:
    """What a search ranks by.

    Attributes:
        first: Every candidate.
        second: The best of them once more, with terms standardised over these; None for one stage alone.
    """

    first: Expression
    second: Expression | None = None

    @classmethod
    def parse(cls, text: str, warmup: float = USUAL_WARMUP) -> Ranking:
        """Reads an expression, or two with `|` between them, such as `jacov | jacov - short_training`.

        Args:
            text: What to read.
            warmup: The amount of warm-up, for `sigeo`.

        Raises:
            InputError: It is neither.
        """
        wrong = (
            f"proxy {text!r}: a first stage and a second one that ranks are expected, as in 'jacov | short_training'"
        )
        parts = text.split(THEN)
        if len(parts) > 2 or (len(parts) == 2 and not all(part.strip() for part in parts)):
            raise InputError(wrong)
        stages = [Expression.parse(part, warmup) for part in parts]
        if len(stages) == 2 and not stages[1].names:
            raise InputError(wrong)
        return cls(*stages)

    @property
    def stages(self) -> tuple[Expression, ...]:
        """The first, and the second if there is one."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def names(self) -> list[str]:
        """Its proxies, each once."""
        return list(dict.fromkeys(name for stage in self.stages for name in stage.names))

    @property
    def proxies(self) -> dict[str, Proxy]:
        """The proxies that count, by name; those of your own are imported.

        Raises:
            InputError: There is none of a name.
        """
        return {name: proxy for stage in self.stages for name, proxy in stage.proxies.items()}

    @property
    def inherits(self) -> bool:
        """Whether it uses weights of the supernet."""
        return any(proxy.declaration.inherits for proxy in self.proxies.values())

    @property
    def warmup(self) -> float:
        """The amount of warm-up that it asks for, where nobody gives another: none for what no training helps."""
        return USUAL_WARMUP if any(proxy.declaration.weights == "warm" for proxy in self.proxies.values()) else 0.0

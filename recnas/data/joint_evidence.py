"""Which features should have a joint id: evidence from training rows alone, before any network is trained.

Main effects come first, then greedily the pair or triple that wins most on rows that its effects were not fitted to
(see `recnas.data.joint_model`), which then is a part of the model by which the next ones are judged; as AutoCross
(Luo et al. 2019) does it, but by one Newton step a candidate instead of a training.
"""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from recnas.data.dataset import Dataset
from recnas.data.joint_columns import joint_columns
from recnas.data.joint_model import Cells, FoldedModel, Gain
from recnas.features.inputs import MOST_PARTS

ROWS = 500_000
MOST_FEATURES = 128
"""Of more features, those that tell most by themselves are looked at."""
VISITS = 1 << 28
"""Rows that are looked at in all while candidates are first gone through, pairs and triples each; with more candidates,
fewer rows for each."""
LEAST_ROWS = 50_000
"""Rows for each triple, or only those of a chosen pair and a further feature are looked at."""
LEAST_ROWS_A_VALUE = 8
"""Rows for each value of a triple that is looked at before one of its pairs is chosen."""
RESCORED = 256
"""Candidates that are looked at with all rows afterwards, where there were fewer at first."""
LEAST_SHARE = 1e-4
"""Of the main effects' log loss, that a joint id must win."""
CHANCE = 0.05
"""How likely it may be that one is proposed where there is none to find."""
LEAST_CLICKS = 10
"""Rows of either class without which nothing can be told."""
ROUNDS = 20
"""Most rounds of fitting at a time."""
CONVERGED = 1e-5

Parts = tuple[int, ...]


@dataclass(frozen=True)
class ProposedCross:
    """A joint id that is proposed.

    Attributes:
        cross: Its features, as in `recnas.features.inputs.Inputs.crosses`.
        gain: Log loss that it wins on held-out training rows, beside those proposed before it.
        share: That, as a share of the log loss without it.
        values: How many different ones were met.
    """

    cross: str
    gain: float
    share: float
    values: int


def propose_crosses(
    dataset: Dataset, *, most: int = 16, rows: int = ROWS, seconds: float | None = None, seed: int = 0
) -> list[ProposedCross]:
    """Joint ids that a network of this data set may have use for, the best first.

    Only training rows are read. The same data set and seed give the same, if no time is set. Lists of ids have no
    joint ids. Time is bounded: see `MOST_FEATURES` and `VISITS`.

    Args:
        dataset: A data set, fed in whatever way.
        most: How many at most.
        rows: Of so many training rows at most, evenly spread.
        seconds: After these, what was found by then.
        seed: Parts the rows into folds, at random.

    Returns:
        None, if there are no interactions that can be told from chance.

    Raises:
        InputError: The data set cannot be read.

    Example:
        >>> propose_crosses(Dataset("data/flights"), most=1)[0].cross
        'month:day'
    """
    until = math.inf if seconds is None else time.perf_counter() + seconds
    labels, columns = joint_columns(dataset, rows, seed)
    clicks = int(labels.sum())
    if min(clicks, len(labels) - clicks) < LEAST_CLICKS:
        return []
    model = FoldedModel(labels)
    kept: list[tuple[float, str, Cells]] = []
    for name, cells in columns:
        kept.append((model.gain(cells).value, name, cells))
        if len(kept) > MOST_FEATURES:
            kept.remove(min(kept, key=lambda one: one[0]))
    return _Search(model, [name for _, name, _ in kept], [cells for *_, cells in kept], until).propose(most)


class _Search:
    """Greedy, with what is known of candidates from earlier steps; a candidate is its features' places, ascending."""

    def __init__(self, model: FoldedModel, names: Sequence[str], features: Sequence[Cells], until: float) -> None:
        self._model, self._names, self._features, self._until = model, names, features, until
        self._known: dict[Parts, float] = {}
        """What candidates win beyond their parts, as last looked at."""
        self._now: dict[Parts, Gain] = {}
        """What candidates and their parts win, that were looked at since the model was last fitted."""
        self._looked = 0
        self._least = 0.0
        # Candidates come in an order in which many begin alike.
        self._joined_first = functools.lru_cache(maxsize=1)(self._joined)

    def propose(self, most: int) -> list[ProposedCross]:
        if len(self._features) < 2:
            return []
        for cells in self._features:
            self._model.add(cells)
        self._model.fit(ROUNDS, CONVERGED)
        self._least = LEAST_SHARE * self._model.loss
        everything = range(len(self._features))
        self._screen(list(itertools.combinations(everything, 2)))
        self._screen(self._triples())
        result: list[ProposedCross] = []
        while len(result) < most and (best := self._best()) is not None:
            cells, before = self._joined(best), self._model.loss
            self._model.add(cells)
            self._model.fit(ROUNDS, CONVERGED)
            cross = ":".join(self._names[place] for place in best)
            gain = before - self._model.loss
            result.append(ProposedCross(cross, gain, gain / before, len(np.unique(cells.codes))))
            self._now.clear()
            del self._known[best]
            if len(best) < MOST_PARTS:
                self._screen([tuple(sorted((*best, place))) for place in everything if place not in best])
        return result

    def _triples(self) -> list[Parts]:
        """Those that have some rows for each of their values, if there is time to look at all of these."""
        sizes = [cells.effective_size for cells in self._features]
        rows = len(self._features[0].codes)
        found = [
            parts
            for parts in itertools.combinations(range(len(sizes)), 3)
            if math.prod(sizes[place] for place in parts) * LEAST_ROWS_A_VALUE <= rows
        ]
        return found if len(found) * min(rows, LEAST_ROWS) <= VISITS else []

    def _screen(self, candidates: Sequence[Parts]) -> None:
        """Looks at candidates; with fewer rows if they are many, and then at the surest of them with all rows."""
        self._looked += len(candidates)
        rows = len(self._features[0].codes)
        fewer = VISITS // max(1, len(candidates))
        if fewer < rows:
            self._look(candidates, fewer)
            looked = [parts for parts in candidates if parts in self._now]
            candidates = sorted(looked, key=lambda parts: -self._now[parts].certainty)[:RESCORED]
        self._look(candidates)
        self._known |= {parts: self._beyond_parts(parts) for parts in candidates if parts in self._now}

    def _look(self, candidates: Sequence[Parts], rows: int | None = None) -> None:
        for parts in candidates:
            if time.perf_counter() > self._until:
                break
            self._now[parts] = self._model.gain(self._joined(parts, rows))

    def _best(self) -> Parts | None:
        """The candidate that wins most beside the present model; None: none can be told from chance."""
        certain = NormalDist().inv_cdf(1 - CHANCE / max(1, self._looked))
        fresh: set[Parts] = set()
        while self._known and time.perf_counter() < self._until:
            best = max(self._known, key=self._known.__getitem__)
            if self._known[best] < self._least:
                return None
            if best in fresh:
                return best
            gain = self._now[best] = self._model.gain(self._joined(best))
            for size in range(1, len(best)):
                for part in itertools.combinations(best, size):
                    if part not in self._now:
                        self._now[part] = self._model.gain(self._joined(part))
            self._known[best] = self._beyond_parts(best) if gain.certainty > certain else 0.0
            fresh.add(best)
        return None

    def _beyond_parts(self, candidate: Parts) -> float:
        """What a candidate wins more than each of its parts, as far as these were looked at, would by itself."""
        parts = itertools.chain.from_iterable(itertools.combinations(candidate, n) for n in range(1, len(candidate)))
        return self._now[candidate].value - max(
            (self._now[part].value for part in parts if part in self._now), default=0
        )

    def _joined(self, parts: Parts, rows: int | None = None) -> Cells:
        if len(parts) == 1:
            return self._features[parts[0]].first(rows)
        *first, last = parts
        return self._joined_first(tuple(first), rows).joined(self._features[last].first(rows))

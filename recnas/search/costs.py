"""What models cost on a data set's features, and whether that can be afforded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Result
from recnas.data import Dataset
from recnas.features.schema import Schema
from recnas.nn.model import sizes
from recnas.nn.networks import build_network, count_macs, dim_of
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data
from recnas.search.latency import Latencies
from recnas.search.own_objectives import read_objectives
from recnas.space import Architecture, SearchSpace, cost
from recnas.strategies.pareto import Point, objectives
from recnas.util.errors import InputError


class Costs:
    """What a run's candidates and trained models cost: counted, or measured and kept.

    Args:
        settings: The run's.
        dataset: Whose features the models take.

    Raises:
        InputError: There are too few rows to time.
    """

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        self._settings, self._schema = settings, dataset.schema
        self._bounds, self._objectives = settings.limits.bounds, settings.evolution.objectives
        measured = "latency" in (*self._bounds, *self._objectives)
        self._latencies = Latencies(settings, dataset) if measured else None

    @cached_property
    def smallest(self) -> Architecture:
        """The cheapest candidate of the run's space, to begin from where random ones do not fit.

        A space of the user's own is imported only when this is asked for: baselines alone need none.
        """
        return SearchSpace.named(self._settings.block_space).smallest(lambda arch: self.of(arch, "macs"))

    def check_counts(self) -> None:
        """Holds the smallest candidate against the limits on what is counted.

        Raises:
            InputError: Not even that one is within them.
        """
        self._check("macs", "--max-macs", "multiply–accumulates a row")
        self._check("parameters", "--max-parameters", "dense parameters")

    def check_latency(self) -> None:
        """Times the smallest candidate, if there is a limit on latency.

        Raises:
            InputError: Not even that one is within it.
        """
        rows = self._settings.limits.latency_batch
        self._check("latency", "--max-latency-ms", f"ms for {rows} rows")

    def of(self, arch: Architecture, name: str) -> float:
        """One cost of a candidate, by its name in `COSTS`; a latency is measured the first time it is asked for."""
        if name == "latency":
            assert self._latencies is not None, "neither a limit nor an objective asked for it"
            return self._latencies.candidate(arch)
        return cost.COUNTS[name](arch, *self._sizes)

    def affordable(self, arch: Architecture) -> bool:
        """Whether a candidate is within the limits; what is counted is looked at before what is measured."""
        if not self._settings.limits.admits(arch, *self._sizes):
            return False
        return "latency" not in self._bounds or self.of(arch, "latency") <= self._bounds["latency"]

    def admits(self, candidate: Candidate) -> bool:
        """Whether a whole candidate, as it is fed, is within the limits; only what is bounded is found out.

        Trees multiply nothing; what else they cost is known when they have grown.
        """
        if not self._bounds or candidate.recipe is None:
            return True
        return all(self.of_whole(candidate, name) <= bound for name, bound in self._bounds.items())

    def of_whole(self, candidate: Candidate, name: str) -> float:
        """One cost of a whole candidate that is a network, as it is fed, by its name in `COSTS`."""
        if name == "latency":
            return self._latencies.whole(candidate)
        schema = open_data(self._settings, candidate.inputs).schema
        if name == "macs":
            return count_macs(candidate.network, schema, dim_of(candidate))
        return _num_parameters(candidate, schema)

    def macs(self, candidate: Candidate) -> float:
        """About how many multiply–accumulates a row of a candidate costs: on what the run's are usually fed.

        Trees compare, and multiply nothing.
        """
        if candidate.recipe is None:
            return 0
        return count_macs(candidate.network, self._schema, dim_of(candidate))

    def point(self, result: Result) -> Point:
        """What a candidate came to in each objective, in the order of the settings, smaller is better."""
        kept_low = [name for name in self._objectives if name != "score"]
        if not self._settings.trains:
            return objectives(result.score, tuple(self.of(result.candidate.network, name) for name in kept_low))
        own = read_objectives(self._settings, result)
        costs = (own[name] if name in own else self.of_whole(result.candidate, name) for name in kept_low)
        return objectives(result.score, tuple(costs) if result.training.finished else (math.inf,) * len(kept_low))

    def of_trained(self, candidate: Candidate, parameters: int, usable: bool) -> dict[str, Any]:
        """The costs of a finally trained model, as its entry of `results.json` has them.

        The latency is that of the model as a whole with its trained weights, and None where nobody asked for it or the
        training diverged. It may lie above the limit that the candidate's was within; `over_limits` says so.
        """
        timed = self._latencies is not None and usable
        latency = self._latencies.trained(candidate) if timed else None
        schema = open_data(self._settings, candidate.inputs).schema
        # Trees compare, and multiply nothing.
        macs = None if candidate.recipe is None else count_macs(candidate.network, schema, dim_of(candidate))
        costs = {"macs": macs, "parameters": parameters, "latency": latency}
        return {
            "parameters": parameters,
            "macs": costs["macs"],
            "latency_ms": latency,
            "over_limits": self._settings.limits.exceeded(costs),
        }

    def together(self, costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What models cost that predict together, in the same form.

        Args:
            costs: Of each; see `of_trained`.
        """
        latencies = [item["latency_ms"] for item in costs]
        summed = {
            "parameters": sum(item["parameters"] for item in costs),
            # Trees multiply nothing.
            "macs": sum(item["macs"] or 0 for item in costs),
            "latency_ms": None if None in latencies else sum(latencies),
        }
        named = {"macs": summed["macs"], "parameters": summed["parameters"], "latency": summed["latency_ms"]}
        return summed | {"over_limits": self._settings.limits.exceeded(named)}

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return sizes(self._schema, self._settings.final.embedding_dim)

    def _check(self, name: str, flag: str, unit: str) -> None:
        """Raises InputError if the smallest candidate is above a limit, as all others are then."""
        if (bound := self._bounds.get(name)) is not None and (least := self.of(self.smallest, name)) > bound:
            features = f"{self._schema.num_columns} columns and {self._schema.num_fields} fields"
            raise InputError(
                f"{flag} {bound:,} cannot be met: the smallest candidate of {self._settings.block_space} costs "
                f"{round(least, 3):,} {unit} on {features}"
            )


def _num_parameters(candidate: Candidate, schema: Schema) -> int:
    """Parameters of its dense part, which is built for that."""
    return sum(item.numel() for item in build_network(candidate.network, schema, dim_of(candidate)).parameters())

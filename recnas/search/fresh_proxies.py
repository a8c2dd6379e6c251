"""Proxies of what a search trains, or might train: measured once, and kept in the run's folder."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.execution.executor import computing_with
from recnas.features.inputs import Inputs
from recnas.proxies.batches import Lookups
from recnas.proxies.fresh import BATCH_ROWS, BATCHES, MEASURED, measure_fresh
from recnas.runs.folder import PROXIES
from recnas.runs.proxy_values import ProxyValues, read_proxy_values
from recnas.runs.settings import Settings
from recnas.search.feeding import KEPT, open_data
from recnas.search.scoring import stage_seed, weights_seed
from recnas.strategies.within_kinds import Agreement
from recnas.util.files import writing

MACS = "macs"
"""The proxy that needs no network."""
MOST_SHARE = 0.02
"""Of a budget in time, for proxies."""


class FreshProxies:
    """Proxies of candidates with the weights that a training begins with; see `recnas.proxies.fresh`.

    What a search proposes hangs on them. So every answer is written to the run's `proxies.jsonl` before it is used,
    also that something is unknown, and a resumed run, which reads it there, decides as the killed one did. They are
    computed in the search's own process, by one thread, so that they do not depend on workers.

    Args:
        settings: The run's.
        macs: Multiply–accumulates a row of a candidate's network.
        say: Shows a line.

    Raises:
        InputError: Later: a line of the file is damaged.
        RunError: Later: the file cannot be written.
    """

    names: Sequence[str] = (*MEASURED, MACS)

    def __init__(self, settings: Settings, macs: Callable[[Candidate], float], say: Callable[[str], None]) -> None:
        self._settings, self._macs, self._say = settings, macs, say
        self._path = Path(settings.run) / PROXIES
        self._lookups = lru_cache(maxsize=KEPT)(self._read)
        self._using: set[str] = set()
        seconds = settings.limit.seconds
        self._most = math.inf if seconds is None else MOST_SHARE * seconds

    def values(self, candidate: Candidate, names: Sequence[str]) -> Mapping[str, float]:
        """See `CandidateProxies.values`; with a budget in time all is unknown once its share for proxies is spent."""
        held = self._held
        known = held.values.setdefault(candidate.id, {})
        if missing := [name for name in names if name not in known]:
            start = time.perf_counter()
            found = dict.fromkeys(missing, math.nan)
            if held.seconds < self._most:
                with computing_with(1):
                    found |= self._measured(candidate, missing)
            seconds = time.perf_counter() - start
            held.seconds += seconds
            # JSON has no NaN.
            values = {name: None if math.isnan(value) else value for name, value in found.items()}
            self._write({"id": candidate.id, "values": values, "seconds": seconds})
            known |= found
        return {name: known[name] for name in names}

    def use(self, used: Mapping[str, Agreement], since: int) -> None:
        """See `CandidateProxies.use`."""
        before = self._using
        for name, agreement in used.items():
            if name not in before:
                interval = f"{agreement.low:.2f} to {agreement.high:.2f}"
                self._say(
                    f"{name} orders networks of a kind: τ {agreement.tau:.2f} ({interval}) over "
                    f"{agreement.networks}; it has a say in proposals from candidate {since} on"
                )
        for name in before - set(used):
            self._say(f"{name} has no say in proposals from candidate {since} on")
        self._using = set(used)
        if (line := (since, tuple(used))) not in self._held.used:
            self._held.used.append(line)
            self._write({"used": list(used), "since": since})

    def _measured(self, candidate: Candidate, names: Sequence[str]) -> dict[str, float]:
        found = {MACS: float(self._macs(candidate))} if MACS in names else {}
        of_network = [name for name in names if name != MACS]
        lookups = self._lookups(candidate.inputs) if of_network else None
        if lookups is not None:
            found |= measure_fresh(candidate, lookups, weights_seed(self._settings, candidate), of_network)
        return found

    def _read(self, inputs: Inputs) -> Lookups | None:
        """The rows that candidates with such inputs are measured on; None where there are too few."""
        dataset = open_data(self._settings, inputs)
        size = min(BATCH_ROWS, dataset.rows("train") // BATCHES)
        if not size:
            return None
        seed = stage_seed(self._settings, "proxies")
        return Lookups(dataset.schema, list(dataset.batches("train", size, seed=seed, rows=BATCHES * size)))

    @cached_property
    def _held(self) -> ProxyValues:
        """What the file holds; read when first asked for, as the run's folder is made after this object."""
        held, whole = read_proxy_values(self._path.parent)
        if whole is not None:
            with writing(self._path):
                os.truncate(self._path, whole)
        return held

    def _write(self, line: Mapping[str, Any]) -> None:
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            # What the history says hangs on it: no power cut may lose it before a line of the history.
            os.fsync(file.fileno())

"""How long predicting takes on this machine: measured once for each model, and kept in the run's folder."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch

from recnas.candidates.candidate import Candidate
from recnas.data import Batch, Dataset
from recnas.execution.executor import computing_with
from recnas.nn.embeddings import WholeEmbeddings
from recnas.nn.model import CTRModel, default_device
from recnas.nn.networks import build_network, dim_of, reads_first_order
from recnas.runs.folder import LATENCIES
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data
from recnas.search.scoring import stage_seed
from recnas.search.training import restore, restore_trees
from recnas.space import Architecture
from recnas.util import forms
from recnas.util.errors import InputError
from recnas.util.files import checked_line, read_lines, writing

WARM_UP_CALLS = 2
MIN_CALLS, MAX_CALLS, ENOUGH_SECONDS = 5, 50, 0.05
"""A model is timed at least so often, and more often until so much time has passed."""


class Latencies:
    """Median wall time of predicting one batch, in milliseconds.

    A time is not the same twice, and what a search proposes hangs on it. So every measurement is written to the run's
    `latency.jsonl` before it is used, and a resumed run, which reads it there, decides as the killed one did.

    Args:
        settings: The run's.
        dataset: Where the batch is from.

    Raises:
        InputError: The batch needs more training rows than there are, or, later, a line of the file is damaged.
        RunError: Later: the file cannot be written.
    """

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        limits, rows = settings.limits, dataset.rows("train")
        if rows < limits.latency_batch:
            raise InputError(
                f"--latency-batch {limits.latency_batch} needs as many training rows, {dataset.path} has {rows}"
            )
        self._settings, self._limits, self._dataset = settings, limits, dataset
        self._path, self._device = Path(settings.run) / LATENCIES, default_device()

    def candidate(self, arch: Architecture) -> float:
        """A candidate's time: that of its finished network with fresh weights, and of looking up the embeddings.

        The lookup is the same for all candidates and is measured once, with whole tables.
        """
        lookup = self._once("embeddings", "", self._lookup)
        return self._once("candidate", arch.id, lambda: lookup + self._network(arch))

    def whole(self, candidate: Candidate) -> float:
        """The time of a whole candidate as it is fed, with fresh weights."""

        def measure() -> float:
            dataset, dim = open_data(self._settings, candidate.inputs), dim_of(candidate)
            batch = self._batch if dataset is self._dataset else self._batch_of(dataset)
            embeddings = WholeEmbeddings(dataset.schema, dim, self._device, reads_first_order(candidate.network))
            model = CTRModel(dataset.schema, embeddings, build_network(candidate.network, dataset.schema, dim))
            model = model.to(self._device).eval()
            return self._median_ms(lambda: model(batch))

        return self._once("whole", candidate.id, measure)

    def trained(self, candidate: Candidate) -> float:
        """The time of a finally trained model as a whole, with the weights that the run kept."""

        def measure() -> float:
            dataset = open_data(self._settings, candidate.inputs)
            run, schema = Path(self._settings.run), dataset.schema
            if candidate.recipe is None:
                model = restore_trees(run, schema, candidate)
            else:
                model = restore(run, schema, candidate).to(self._device)
            batch = self._batch if dataset is self._dataset else self._batch_of(dataset)
            return self._median_ms(lambda: model(batch))

        return self._once("trained", candidate.id, measure)

    def _lookup(self) -> float:
        embeddings = WholeEmbeddings(self._dataset.schema, self._settings.final.embedding_dim, self._device)
        return self._median_ms(lambda: embeddings(self._batch.sparse))

    def _network(self, arch: Architecture) -> float:
        schema, dim = self._dataset.schema, self._settings.final.embedding_dim
        network = build_network(arch, schema, dim).to(self._device).eval()
        fields = torch.randn(len(self._batch), schema.num_sparse, dim, device=self._device)
        return self._median_ms(lambda: network(self._batch.dense, fields))

    @cached_property
    def _batch(self) -> Batch:
        return self._batch_of(self._dataset)

    def _batch_of(self, dataset: Dataset) -> Batch:
        rows = self._limits.latency_batch
        loader = dataset.batches("train", rows, seed=stage_seed(self._settings, "latency"), rows=rows)
        return next(iter(loader)).to(self._device)

    @cached_property
    def _kept(self) -> dict[tuple[str, str], float]:
        """What the file holds; read when first asked for, as the run's folder is made after this object."""
        lines, cut = read_lines(self._path)
        if cut:
            with writing(self._path):
                os.truncate(self._path, sum(len(line) + 1 for line in lines))
        kept = {}
        for number, line in enumerate(lines, start=1):
            value = checked_line(line, forms.LatencyLine, f"{self._path}:{number}")
            kept[value["of"], value["id"]] = float(value["ms"])
        return kept

    def _once(self, of: str, name: str, measure: Callable[[], float]) -> float:
        if (of, name) not in self._kept:
            self._kept[of, name] = measure()
            with writing(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"of": of, "id": name, "ms": self._kept[of, name]}) + "\n")
                file.flush()
                # What the history says hangs on it: no power cut may lose it before a line of the history.
                os.fsync(file.fileno())
        return self._kept[of, name]

    def _median_ms(self, call: Callable[[], object]) -> float:
        return median_ms(call, self._device, self._limits.latency_threads)


@torch.no_grad()
def median_ms(call: Callable[[], object], device: torch.device, threads: int) -> float:
    """Median wall time of a call in milliseconds; others may be at work on the machine, so a mean would not do.

    Args:
        call: What is timed.
        device: Where it computes.
        threads: How many compute it on a CPU.
    """
    times: list[float] = []
    with computing_with(threads):
        for _ in range(WARM_UP_CALLS):
            call()
        while len(times) < MIN_CALLS or (len(times) < MAX_CALLS and sum(times) < ENOUGH_SECONDS):
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def _wait(device: torch.device) -> None:
    """A GPU works on while the call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

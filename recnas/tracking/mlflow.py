"""A run in MLflow: settings, curves, results and files, a nested run for each final training, and the exported model.

Where: `MLFLOW_TRACKING_URI`, else what MLflow itself takes; in the experiment of `MLFLOW_EXPERIMENT_ID` or
`MLFLOW_EXPERIMENT_NAME`, else `recnas`. The run's folder remembers which of MLflow's runs is its own, so a run that
goes on is still one.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recnas.runs.curves import SEARCH, Point, final_training
from recnas.runs.folder import RECORDS, is_finished, read_config
from recnas.runs.results import read_results
from recnas.runs.tracked import read_tracked, write_tracked
from recnas.tracking.redact import redact, redacted_message
from recnas.util.errors import InputError, RunError
from recnas.util.files import by_dotted_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

T = TypeVar("T")
Qualities = Mapping[str, Mapping[str, float] | None]
"""By split, log loss and AUC; None where they were not measured."""

PACKAGES = ("mlflow", "sqlalchemy", "alembic")
EXPERIMENT = "recnas"
MODEL = "model"
PARENT = "mlflow.parentRunId"
VERSION, CREATED, BEST = "recnas.version", "recnas.created", "recnas.best"
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""A server that does not answer is given up soon where it is asked again at the next look."""
MOST_METRICS, MOST_PARAMS = 1000, 100
"""What MLflow takes at once."""


def check() -> None:
    """Asks the tracking server, or opens its database, which is made if there is none.

    Raises:
        InputError: It cannot be had.
    """
    try:
        with _little_patience():
            _experiment(_client())
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"MLflow at {_uri()}: {redacted_message(error)}; MLFLOW_TRACKING_URI says where it is"
        ) from error


class TrackedRun:
    """MLflow's run of a run's folder: the one that it had before, or a new one.

    Args:
        run: The run's folder, with its settings.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._client = _client()
        with _little_patience():
            there = _known(self._client, run) or self._new_run()
            found, self._experiment = there.info.run_id, there.info.experiment_id
            if VERSION not in there.data.tags:
                self._log_settings(found)
            self._client.update_run(found, status="RUNNING")
            nested = _nested(self._client, self._experiment, found)
        self._runs = {SEARCH: found} | {item.info.run_name: item.info.run_id for item in nested}
        # Those that ended before keep the time and the way of their end.
        self._running = {found, *(item.info.run_id for item in nested if item.info.status == "RUNNING")}
        self._last: dict[tuple[str, str], int] = {}
        self.place = f"run {found} at {_uri()}"

    def _new_run(self) -> Run:
        found = _create(self._client, self._run.resolve().name)
        try:
            write_tracked(self._run, found.info.run_id)
        except Exception:
            # The next try would make another one.
            self._client.delete_run(found.info.run_id)
            raise
        return found

    def add(self, points: Iterable[Point]) -> None:
        """Adds those points that lie to the right of what MLflow has of their curves."""
        new: dict[str, list[Any]] = {}
        with _little_patience():
            for point in points:
                run = self._mlflow_run(point.series)
                if point.step > self._last_step(run, point.name):
                    new.setdefault(run, []).append(_metric(point.name, point.value, point.step))
                    self._last[run, point.name] = point.step
            for run, metrics in new.items():
                for part in _parts(metrics, MOST_METRICS):
                    self._client.log_batch(run, metrics=part)

    def end(self, status: str) -> None:
        """Adds the results, if there are some, and the run's files."""
        if is_finished(self._run):
            self._log_results(read_results(self._run))
        for name in RECORDS:
            if (self._run / name).exists():
                self._client.log_artifact(self._runs[SEARCH], str(self._run / name))
        for run in self._running:
            self._client.set_terminated(run, status)

    def close(self) -> None:
        """Nothing is open."""

    def _log_settings(self, run: str) -> None:
        from mlflow.entities import Param, RunTag

        config = read_config(self._run)
        tags = [RunTag(CREATED, str(config.pop("created"))), RunTag(VERSION, str(config.pop("version")))]
        params = [Param(name, str(value)) for name, value in by_dotted_name(config)]
        for part in _parts(params, MOST_PARAMS):
            self._client.log_batch(run, params=part)
        # Last, as they say that the settings are there.
        self._client.log_batch(run, tags=tags)

    def _log_results(self, results: Mapping[str, Any]) -> None:
        for model in results["models"]:
            figures = _figures({split: model.get(split) for split in ("validation", "test")})
            figures |= {name: model[name] for name in ("parameters", "macs") if model.get(name) is not None}
            if model.get("learning_rate") is not None:
                series = final_training(model["id"], model["learning_rate"], model.get("candidate"))
                self._log_figures(self._mlflow_run(series), figures)
            if model["id"] == results["best"]:
                self._log_figures(self._runs[SEARCH], figures)
        if (ensemble := results.get("ensemble")) is not None:
            figures = _figures({f"ensemble_{split}": ensemble[split] for split in ("validation", "test")})
            self._log_figures(self._runs[SEARCH], figures)
        self._client.set_tag(self._runs[SEARCH], BEST, results["best"])

    def _log_figures(self, run: str, figures: Mapping[str, float]) -> None:
        """Logs figures that have no curve, where they are not what they were."""
        there = self._client.get_run(run).data.metrics
        changed = [_metric(name, value, 0) for name, value in figures.items() if there.get(name) != value]
        self._client.log_batch(run, metrics=changed)

    def _mlflow_run(self, series: str) -> str:
        if series not in self._runs:
            tags = {PARENT: self._runs[SEARCH]}
            run = self._client.create_run(self._experiment, tags=tags, run_name=series)
            self._runs[series] = run.info.run_id
            self._running.add(run.info.run_id)
        return self._runs[series]

    def _last_step(self, run: str, name: str) -> int:
        if (run, name) not in self._last:
            points = self._client.get_metric_history(run, name)
            self._last[run, name] = max((point.step for point in points), default=-1)
        return self._last[run, name]


def log_model(
    source: Path,
    folder: Path,
    loader: str,
    columns: Sequence[str],
    qualities: Qualities,
    id: str | None,
    rate: float | None,
) -> str:
    """Adds an exported model to MLflow, where `mlflow.pyfunc.load_model` gives it; nothing in it is pickled.

    Args:
        source: The run that it was exported from. If MLflow has that, the ensemble or the best model becomes its own,
            another one that of its final training; else the model is a new run's.
        folder: The exported model.
        loader: The module whose `_load_pyfunc` loads such a folder.
        columns: The names of the columns that it takes.
        qualities: Its figures, for a new run.
        id: The id of the network; None of an ensemble.
        rate: The learning rate that it was trained with; None of an ensemble.

    Returns:
        The model's address in MLflow.

    Raises:
        RunError: MLflow does not take it.
    """
    try:
        client = _client()
        run = _run_of_model(client, source, id, rate)
        if run is None:
            run = _create(client, folder.resolve().name).info.run_id
            client.log_batch(run, metrics=[_metric(name, value, 0) for name, value in _figures(qualities).items()])
        return _log_model(run, folder, loader, columns)
    except Exception as error:
        reason = redacted_message(error)
        raise RunError(
            f"{folder} is written, but MLflow at {_uri()} did not take it: {reason}; the same command with "
            "--overwrite tries again"
        ) from error


def _run_of_model(client: MlflowClient, source: Path, id: str | None, rate: float | None) -> str | None:
    """MLflow's run that a model of a run belongs to, if it has one."""
    run = _known(client, source)
    if run is None:
        return None
    known = run.info.run_id
    if id is None or run.data.tags.get(BEST, id) == id:
        return known
    nested = _nested(client, run.info.experiment_id, known)
    models = read_results(source)["models"] if is_finished(source) else []
    candidate = next((model.get("candidate") for model in models if model["id"] == id), None)
    series = final_training(id, rate, candidate)
    return next((item.info.run_id for item in nested if item.info.run_name == series), known)


def _nested(client: MlflowClient, experiment: str, parent: str) -> list[Run]:
    """The runs within another one."""
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _log_model(run: str, folder: Path, loader: str, columns: Sequence[str]) -> str:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

    # Raw values come as text, numbers or lists.
    inputs = Schema([ColSpec(AnyType(), name, required=False) for name in columns])
    outputs = Schema([ColSpec(DataType.double)])
    with mlflow.start_run(run_id=run, nested=True), warnings.catch_warnings():
        # It misses an example of the input.
        warnings.simplefilter("ignore")
        logged = mlflow.pyfunc.log_model(
            name=MODEL,
            loader_module=loader,
            data_path=str(folder),
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            pip_requirements=[f"recnas=={version('recnas')}"],
        )
    return logged.model_uri


@contextmanager
def _little_patience() -> Iterator[None]:
    """With `PATIENCE` where the environment says nothing else."""
    given = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ |= given
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)


def _client() -> MlflowClient:
    # At the end of a run it would print the server's address, with its password.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow import MlflowClient

    # They tell of each step in making the database, and of each try to reach a server.
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient()


def _uri() -> str:
    import mlflow

    return redact(mlflow.get_tracking_uri())


def _known(client: MlflowClient, folder: Path) -> Run | None:
    """MLflow's run of a folder, if it has one there that nobody deleted."""
    from mlflow.exceptions import MlflowException

    if (known := read_tracked(folder)) is None:
        return None
    try:
        run = client.get_run(known)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        # Another server than before.
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def _experiment(client: MlflowClient) -> str | None:
    """The experiment that the environment names; None if it is to be made.

    Raises:
        InputError: It was deleted.
        MlflowException: There is none of that number.
    """
    number = os.environ.get("MLFLOW_EXPERIMENT_ID")
    found = client.get_experiment(number) if number else client.get_experiment_by_name(_experiment_name())
    if found is not None and found.lifecycle_stage != "active":
        raise InputError(
            f"MLflow at {_uri()}: experiment {found.name!r} was deleted; MLFLOW_EXPERIMENT_NAME takes another"
        )
    return None if found is None else found.experiment_id


def _create(client: MlflowClient, name: str) -> Run:
    """A new run in the experiment that the environment names, which is made if there is none."""
    experiment = _experiment(client) or client.create_experiment(_experiment_name())
    return client.create_run(experiment, run_name=name)


def _figures(qualities: Qualities) -> dict[str, float]:
    """Log loss and AUC by the names that they have in MLflow, such as `test_auc`."""
    return {f"{split}_{name}": value for split, quality in qualities.items() for name, value in (quality or {}).items()}


def _metric(name: str, value: float, step: int) -> Metric:
    from mlflow.entities import Metric

    return Metric(name, float(value), int(1000 * time.time()), step)


def _parts(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Splits items into parts of at most so many."""
    return (items[start : start + most] for start in range(0, len(items), most))

"""A trained model of a finished run, to be taken away: what it is, how it was trained, and its weights. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.network import BASELINE, Baseline, Network, are_trees, load_network
from recnas.candidates.recipe import Recipe
from recnas.features.schema import FILE_NAME as SCHEMA
from recnas.features.schema import Schema
from recnas.runs.folder import CONFIG, RESULTS, check_finished, inputs_folder, made_anew, read_config
from recnas.runs.results import read_results
from recnas.runs.settings import Settings
from recnas.runs.trained import weights_of
from recnas.trees.files import TREES
from recnas.util.errors import InputError
from recnas.util.files import read_json
from recnas.util.user_code import from_file_name


@dataclass(frozen=True)
class FinishedModel:
    """A model that a run has trained to the end.

    Attributes:
        network: What the model is.
        schema: The features of its data set.
        weights: The file of its weights; of trees the one that says what they are.
        data: The folder of its data set, which may be gone.
        data_name: The name of its data set.
        recipe: How it was trained; None for trees.
        learning_rate: See `Candidate`.
        epochs: The passes over the training rows up to the weights that were kept; None for trees.
        validation: Its figures on the validation split.
        test: Its figures on the test split.
    """

    network: Network
    schema: Schema
    weights: Path
    data: Path
    data_name: str
    recipe: Recipe | None
    learning_rate: float
    epochs: float | None
    validation: Mapping[str, float] | None
    test: Mapping[str, float] | None


@dataclass(frozen=True)
class FinishedEnsemble:
    """The ensemble that a run has selected.

    Attributes:
        members: The largest weight first.
        weights: Of each; their sum is 1.
        schema: The features of its data set.
        validation: Its figures on the validation split.
        test: Its figures on the test split.
    """

    members: tuple[FinishedModel, ...]
    weights: tuple[float, ...]
    schema: Schema
    validation: Mapping[str, float]
    test: Mapping[str, float]


def finished_ensemble(run: Path) -> FinishedEnsemble | None:
    """Finds the ensemble of a run; None where its best model stands alone.

    Raises:
        InputError: As in `finished_model`.
    """
    results = _results(run)
    if (found := results.get("ensemble")) is None:
        return None
    return FinishedEnsemble(
        tuple(finished_model(run, member["candidate"]) for member in found["members"]),
        tuple(member["weight"] for member in found["members"]),
        _schema(run, None),
        found["validation"],
        found["test"],
    )


def finished_model(run: Path, name: str | None) -> FinishedModel:
    """Finds a model of a run.

    Args:
        run: The run's folder.
        name: The id of its network, or that of a candidate that is the best of its network or a member of the ensemble;
            None for the best on validation.

    Raises:
        InputError: The run is not finished or damaged, or has no such model; with what to do.
    """
    results, remedy = _results(run), made_anew(run)
    best, data = results.get("best"), (results.get("data") or {}).get("path")
    if best is None or data is None:
        raise InputError(f"{run / RESULTS}: no best model, or no path of its data; {remedy}")
    entry = _entry(run, results, best if name is None else name)
    weights, file = weights_of(run, entry["id"], entry.get("candidate"))
    network, candidate = _network(run, entry, file, remedy)
    if are_trees(network):
        weights = weights.with_name(TREES)
    if not weights.is_file():
        raise InputError(f"{weights}: no such file; {remedy}")
    config = read_config(run)
    recipe = _recipe_in(run, config, entry.get("learning_rate")) if candidate is None else candidate.recipe
    passes = Settings.known_in(config, str(run / CONFIG)).final.epochs
    return FinishedModel(
        network=network,
        schema=_schema(run, candidate),
        weights=weights,
        data=Path(data),
        data_name=str(results["data"].get("name") or Path(data).name),
        recipe=recipe,
        learning_rate=recipe.optimization.learning_rate if candidate is None else candidate.learning_rate,
        epochs=None if recipe is None else entry.get("epoch", passes),
        validation=entry.get("validation"),
        test=entry.get("test"),
    )


def _results(run: Path) -> dict[str, Any]:
    """What a run has come to, after a look at whether it has."""
    check_finished(run)
    if not (run / CONFIG).is_file():
        raise InputError(f"{run / CONFIG}: no such file; without it nobody knows how the run's models were trained")
    return read_results(run, made_anew(run))


def _schema(run: Path, candidate: Candidate | None) -> Schema:
    """What a model is fed."""
    is_prepared = candidate is None or candidate.inputs.as_prepared
    folder = run if is_prepared else inputs_folder(run, candidate.inputs)
    if not (folder / SCHEMA).is_file():
        remedy = "the data set's own is the same, copy it there" if is_prepared else made_anew(run)
        raise InputError(f"{folder / SCHEMA}: no such file; {remedy}")
    return Schema.load(folder)


def _recipe_in(run: Path, config: Mapping[str, Any], rate: float | None) -> Recipe:
    """How the models of a run of recnas 0.1 were trained, which its candidates do not say."""
    final = config.get("final")
    if not isinstance(final, dict) or not isinstance(final.get("optimization"), dict) or rate is None:
        reason = f"no {'learning_rate' if isinstance(final, dict) else 'final'}"
        raise InputError(f"{run}: results.json and config.yaml do not say how the model was trained ({reason})")
    try:
        return Recipe.from_json({"optimization": {**final["optimization"], "learning_rate": float(rate)}})
    except InputError as error:
        raise InputError(f"{run / CONFIG}: final.optimization: {error}") from None


def _network(run: Path, entry: Mapping[str, Any], file: Path, remedy: str) -> tuple[Network, Candidate | None]:
    """A trained model's network, by the file beside its weights, and its candidate, which recnas 0.1 did not write."""
    if entry["kind"] == BASELINE and not file.exists():
        # Runs of recnas 0.1 have none for a baseline.
        return Baseline(from_file_name(entry["id"])), None
    if not file.is_file():
        raise InputError(f"{file}: no such file; {remedy}")
    try:
        candidate = Candidate.from_json(read_json(file)) if entry.get("candidate") else None
        network = load_network(file) if candidate is None else candidate.network
    except InputError as error:
        raise InputError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    if network.id != entry["id"]:
        raise InputError(f"{file}: this is {network.id}, not {entry['id']}; {remedy}")
    return network, candidate


def _entry(run: Path, results: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A model's entry of `results.json`; one that was dropped or diverged has no weights to take."""
    trained = {entry["id"]: entry for entry in results["models"] if entry.get("status") == "trained"}
    members = (results.get("ensemble") or {"members": []})["members"]
    by_candidate = {entry.get("candidate"): entry for entry in [*members, *trained.values()]}
    if (found := trained.get(name) or by_candidate.get(name)) is None:
        there = [*trained, *(member["candidate"] for member in members)]
        raise InputError(f"{run / RESULTS}: no trained model {name!r} to export; there are {', '.join(there)}")
    return found

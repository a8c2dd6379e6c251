"""The settings of a run: from a preset, from the run that goes on, and from what the user gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from recnas.runs.confirmation import check_cluster, check_code
from recnas.runs.folder import CONFIG, begun_with
from recnas.runs.settings import Kind, Settings, budget_of
from recnas.strategies.registry import find_strategy
from recnas.util.documents import parse_yaml
from recnas.util.errors import InputError
from recnas.util.files import read_yaml
from recnas.util.plain_values import merge, with_present_names


def resolve(
    kind: type[Kind],
    data: str | Path | None,
    run: str | Path | None,
    preset: str | None,
    resume: bool,
    given: Mapping[str, Any],
) -> Kind:
    """The settings of a run: the preset's, in whose place come those of the run that goes on, then those given.

    A strategy of the user's own is imported, if the user gave it, and asked whether it trains.

    Args:
        kind: `Settings`, or a kind of it.
        data: The data set's folder.
        run: The run's folder.
        preset: See `load_preset`.
        resume: Whether to resume what is in the run's folder.
        given: Nested as in `config.yaml`.

    Raises:
        InputError: Something is unknown or does not fit, data or run is missing, or a file names code or a cluster that
            was not given.
    """
    values, sources = with_preset(data, run, preset, given), [preset] if preset else []
    before = begun_with(Path(run), kind.command) if resume and run is not None else None
    if str(values.get("budget") or "").startswith("+"):
        if before is None:
            raise InputError(f"--budget {values['budget']} adds to a run that is there; give --resume and its --run")
        values["budget"] = f"{budget_of(before.get('budget'))}{values['budget']}"
    if before is not None:
        values = merge(before, values)
        sources.append(str(Path(run) / CONFIG))
    resolved = read_settings(kind, values, preset)
    for check in (check_code, check_cluster):
        check(resolved, given, " or ".join(sources))
    if before is None and resolved.is_undecided:
        # A run that goes on has it written down.
        resolved = replace(resolved, strategy_trains=find_strategy(resolved.explorer).trains)
    return resolved


def with_preset(
    data: str | Path | None, run: str | Path | None, preset: str | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What the user asks for, as nested plain values: the preset's, and in their place those given.

    Args:
        data: The data set's folder.
        run: The run's folder.
        preset: See `load_preset`.
        given: Nested as in `config.yaml`.

    Raises:
        InputError: There is no such preset.
    """
    given = with_present_names(Settings, given, "settings")
    values = load_preset(preset) if preset else {}
    # A strategy of the user's own is asked anew.
    values.pop("strategy_trains", None)
    values = merge(values, given)
    # A run's own `config.yaml` is a preset too; these two say which program wrote it and when.
    for key in ("version", "created"):
        values.pop(key, None)
    return values | {name: str(path) for name, path in (("data", data), ("run", run)) if path is not None}


def read_settings(kind: type[Kind], values: Mapping[str, Any], preset: str | None) -> Kind:
    """The settings of a run from nested plain values, which `preset` is named as the source of.

    Raises:
        InputError: Something is unknown or does not fit, or data or run is missing.
    """
    resolved = kind.from_mapping(values, preset or "settings")
    if not resolved.data or not resolved.run:
        raise InputError("--data, the data set's folder, and --run, a folder for what is made, are both needed")
    return resolved


def load_preset(name: str) -> dict[str, Any]:
    """The values of a preset: a name from `configs/`, or a path to a YAML file.

    Raises:
        InputError: There is none, or it is not a mapping.
    """
    presets = {item.name.removesuffix(".yaml"): item for item in resources.files("recnas.configs").iterdir()}
    presets = {key: item for key, item in presets.items() if item.name.endswith(".yaml")}
    if name in presets:
        return parse_yaml(presets[name].read_text(encoding="utf-8"), name)
    try:
        return with_present_names(Settings, read_yaml(Path(name)), name)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"no preset or file {name!r}; presets are {', '.join(sorted(presets))}") from None

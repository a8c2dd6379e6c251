"""A run's folder: made, replaced, or resumed; one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from recnas.features.inputs import Inputs
from recnas.features.schema import FILE_NAME, Schema
from recnas.runs.history import drop_after
from recnas.runs.plan import PLAN
from recnas.runs.settings import Kind, Settings, budget_of
from recnas.runs.tracked import TRACKED
from recnas.util import result_forms
from recnas.util.errors import InputError, suggested
from recnas.util.files import PARTIAL, check_name, read_json, read_yaml, write_text
from recnas.util.plain_values import leaves

CONFIG, RESULTS, LATENCIES, ARCHITECTURE = "config.yaml", "results.json", "latency.jsonl", "architecture.json"
PROXIES = "proxies.jsonl"
"""Proxies of what a search trains, or might have trained, and which of them were used."""
INPUTS = "inputs"
"""The folder that has, for each way in which candidates are fed, the schema of what they are fed."""
DATA = "data.json"
"""What is told of the data."""
BEGINNING = "beginning.json"
"""What a search that trains its candidates found before the first."""
WARM_UP, SEARCH, RE_RANKING, TUNING = "warm-up", "search", "re-ranking", "tuning"
FINAL_TRAINING, ENSEMBLE, TEST = "final training", "ensemble", "test"
RECORDS = (CONFIG, FILE_NAME, DATA, "history.jsonl", PROXIES, RESULTS, "architecture.json")
"""What tells of a run besides its models, where it is there."""
LOOKS = 10
"""How often a lock is tried, 0.05 s apart."""


@contextmanager
def open_run(settings: Settings, schema: Schema, overwrite: bool, resume: bool) -> Iterator[Path]:
    """The folder of a run, locked for this process while the `with` block lasts.

    Args:
        settings: The run's.
        schema: The data set's.
        overwrite: Replace a run that is there.
        resume: Resume it.

    A folder that this made is removed again if the `with` block ends with an InputError before it has done anything.

    Raises:
        InputError: The folder is taken, has other settings or data, or another process is at work on it.
    """
    run = Path(settings.run)
    _check_names(settings)
    is_new = not run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{run}: cannot be made or read ({error.strerror}); choose another --run") from None
    try:
        # The lock ends with the process, however it ends.
        if not _lock(handle, run):
            raise _taken(run)
        if (before := _going_on(settings, schema, overwrite, resume)) is not None:
            # What a killed process was writing; safetensors' writer has names of its own.
            for path in (*run.rglob(f"*{PARTIAL}"), *run.rglob(".tmp*")):
                path.unlink()
            if _adds_to_budget(before, settings):
                _reopen(run, settings)
        else:
            _make_room(run)
            schema.save(run)
            # Last, as it says that this is a run.
            write_config(run, settings, _now())
        try:
            yield run
        except InputError:
            if is_new:
                _remove_if_fruitless(run)
            raise
    finally:
        os.close(handle)


def check_openable(settings: Settings, schema: Schema, overwrite: bool, resume: bool) -> None:
    """Checks beforehand what would be refused by `open_run`, with its arguments: nothing is made, replaced or removed.

    Raises:
        InputError: The folder is taken, has other settings or data, or another process is at work on it.
    """
    run = Path(settings.run)
    _check_names(settings)
    if not run.exists():
        return
    if is_at_work(run):
        raise _taken(run)
    _going_on(settings, schema, overwrite, resume)


def _check_names(settings: Settings) -> None:
    run = Path(settings.run)
    if run.exists() and not run.is_dir():
        raise InputError(f"{run} is a file; choose another --run")
    check_name(run, "--run")
    # It is written into the settings, which are text.
    check_name(Path(settings.data), "--data")


def _taken(run: Path) -> InputError:
    status = suggested("recnas", "status", run)
    return InputError(f"{run}: another process is at work on this run; `{status}` shows how far it is")


def _going_on(settings: Kind, schema: Schema, overwrite: bool, resume: bool) -> Kind | None:
    """The settings with which the run in a folder that is there was begun, if it goes on.

    If not, the folder may be emptied for a new one.
    """
    run = Path(settings.run)
    if resume and (run / CONFIG).exists():
        before = check_settings(settings)
        _check_data(run, settings, schema)
        return before
    _check_room(run, overwrite, settings.command)
    return None


def inputs_folder(run: Path, inputs: Inputs) -> Path:
    """The folder of a run that has the schema of what candidates are fed, which was fitted to its training rows."""
    return run / INPUTS / inputs.id


def shared_files(run: Path, data: Path) -> list[Path]:
    """The files of a run and its data set that tell whether another machine sees the same ones."""
    return [data / FILE_NAME, run / CONFIG]


def write_config(run: Path, settings: Settings, created: str) -> None:
    """Writes the settings of a run into its folder; `created` says when it was begun."""
    config = {"version": version("recnas"), "created": created, **settings.to_mapping()}
    write_text(run / CONFIG, yaml.safe_dump(config, sort_keys=False))


def read_config(run: Path) -> dict[str, Any]:
    """The settings of a run as they are written, with the version and the time that it was begun.

    Raises:
        FileNotFoundError, NotADirectoryError: It has none.
        InputError: They are damaged.
    """
    return read_yaml(run / CONFIG)


def _remove_if_fruitless(run: Path) -> None:
    """Removes the folder of a run that was refused before it had done anything: the next try finds it free."""
    # What has been done is in none of these, nor in a file that was opened for it and has nothing yet.
    begun_with = {CONFIG, FILE_NAME, LATENCIES, DATA, PLAN, TRACKED}
    files = [path for path in run.rglob("*") if not path.is_dir()]
    places = [path.relative_to(run) for path in files if path.stat().st_size]
    if all(place.as_posix() in begun_with or place.parts[0] == INPUTS for place in places):
        # What cannot be removed is no reason to say anything else than why the run was refused.
        shutil.rmtree(run, ignore_errors=True)


def _lock(handle: int, run: Path) -> bool:
    """Locks a run's open folder for this process; gives whether it is free."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Perhaps only by `is_at_work`, which lets go at once.
            time.sleep(0.05)
        else:
            # The process that had it may have removed the folder.
            return run.exists() and os.path.samestat(os.fstat(handle), run.stat())
    return False


def is_at_work(run: Path) -> bool:
    """Whether a process is at work on a run; nothing is written."""
    handle = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def resuming(run: Path | str) -> str:
    """What resumes a run that has not ended: a command, or the version of recnas that began it.

    Raises:
        InputError: Its settings cannot be read.
    """
    if (other := other_version(run)) is not None:
        return f"recnas {other}, which began it,"
    command = command_of(run) or Settings.command
    if command == Settings.command and not holds_search(Path(run)) and _is_run(Path(run)):
        command = "baselines"
    return f"`{suggested('recnas', command, '--run', Path(run), '--resume')}`"


def other_version(run: Path | str) -> str | None:
    """The version of recnas that began a run, where it is not this one: no other resumes it.

    Raises:
        InputError: Its settings cannot be read.
    """
    try:
        config = read_config(Path(run))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if config.get("version") == version("recnas") else str(config.get("version"))


def made_anew(run: Path | str) -> str:
    """What helps where a file of a finished run is missing or damaged: what the run has kept is not done again.

    Raises:
        InputError: Its settings cannot be read.
    """
    return f"without {Path(run) / RESULTS}, {resuming(run)} makes anew what is missing, from what the run has"


def check_finished(run: Path) -> None:
    """Looks at a folder whose models are to be taken.

    Raises:
        InputError: It is no run's or a study's, or the run has not ended; with what to do.
    """
    if not run.is_dir():
        raise InputError(f"{run}: no such run folder; `{suggested('recnas', 'search', '--run', run)}` makes one")
    command = command_of(run)
    if command is None and not is_finished(run):
        raise InputError(f"{run}: no {CONFIG}, so this is not a run's folder; `recnas search` makes one")
    if command in (what := {"study": "a study", "bench": "a table of trained candidates"}):
        raise InputError(
            f"{run} is the folder of {what[command]}, which keeps no models; a run of `recnas search` has some"
        )
    if not is_finished(run):
        if is_at_work(run):
            raise InputError(
                f"{run} has not ended, a process is at work on it; `{suggested('recnas', 'status', run)}` shows how "
                "far it is"
            )
        raise InputError(f"{run} has not ended; {resuming(run)} resumes it")


def finished(settings: Settings, form: Any = result_forms.Results) -> dict[str, Any] | None:
    """The results of a run that has ended; None if it has not. `form` is what its `results.json` holds.

    Raises:
        InputError: It has other settings, or its results are damaged.
    """
    run = Path(settings.run)
    if not is_finished(run):
        return None
    if _adds_to_budget(check_settings(settings), settings):
        return None
    return read_json(run / RESULTS, made_anew(run), form)


def is_finished(run: Path) -> bool:
    """Whether a run has results."""
    return (run / RESULTS).exists()


def holds_search(run: Path) -> bool:
    """Whether there is a search in a run's folder, and not baselines alone."""
    if not _is_run(run):
        return False
    config = read_config(run)
    final = config.get("final")
    return _command(config) == "search" and not (isinstance(final, dict) and final.get("top_k") == 0)


def command_of(run: Path | str) -> str | None:
    """The command that made a folder, `search` or `study`; None when it is no run's.

    Raises:
        InputError: Its settings cannot be read.
    """
    try:
        config = read_config(Path(run))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _command(config)


def begun_with(run: Path, command: str) -> dict[str, Any] | None:
    """The settings that a run was begun with, as nested plain values; None when there is no run in the folder.

    Args:
        run: Its folder.
        command: The one that would resume it.

    Raises:
        InputError: They cannot be read, or another command or another version of recnas began it.
    """
    try:
        config = read_config(run)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if (begun := _command(config)) != command:
        raise InputError(
            f"{run} is the folder of a {begun}; `{suggested('recnas', begun, '--run', run, '--resume')}` resumes "
            f"it, choose another --run for a {command}"
        )
    if (found := config.pop("version", None)) != version("recnas"):
        raise InputError(
            f"{run} was begun with recnas {found}, this is {version('recnas')}; resume it with that version, or choose "
            "another --run"
        )
    config.pop("created", None)
    return config


def check_settings(settings: Kind) -> Kind:
    """Compares the settings that a run was begun with, which it gives, and those that it would be resumed with.

    Raises:
        InputError: The first difference that would lead to another result.
    """
    run = Path(settings.run)
    kind = type(settings)
    config = begun_with(run, kind.command)
    before = kind.from_mapping(config or {}, str(run / CONFIG))
    for path, _, _ in leaves(kind):
        if path[0] in kind.free_to_change:
            continue
        old, new = before, settings
        for name in path:
            old, new = getattr(old, name), getattr(new, name)
        if old != new and not (path == ("budget",) and _adds_to_budget(before, settings)):
            raise InputError(
                f"{run} was begun with {'.'.join(path)} {old}, not {new}; leave that setting out to go "
                "on with --resume, or choose another --run"
            )
    return before


def _adds_to_budget(before: Settings, settings: Settings) -> bool:
    """Whether a run is to go on beyond the budget that it had."""
    return settings.budget is not None and settings.budget.startswith(f"{budget_of(before.budget)}+")


def _reopen(run: Path, settings: Settings) -> None:
    """Makes a run one that has not ended, with more budget: what followed its search will be done anew."""
    (run / RESULTS).unlink(missing_ok=True)
    drop_after(run, SEARCH)
    config = read_config(run)
    config["budget"] = settings.budget
    # Last: until then the same command does all of this once more.
    write_text(run / CONFIG, yaml.safe_dump(config, sort_keys=False))


def _check_data(run: Path, settings: Settings, schema: Schema) -> None:
    if Schema.load(run).to_json() != schema.to_json():
        raise InputError(f"{run} was begun with another data set than {settings.data}; choose another --run")


def _check_room(run: Path, overwrite: bool, command: str) -> None:
    """Raises InputError unless the folder may be emptied: a command replaces what it made itself."""
    # What a process killed at its very start has left.
    left = {FILE_NAME, FILE_NAME + PARTIAL, CONFIG + PARTIAL}
    there = {path.name for path in run.iterdir()}
    if there <= left:
        return
    if not overwrite:
        remedy = "--resume to continue it, " if _is_run(run) else ""
        raise InputError(f"{run} exists; choose another --run, {remedy}or --overwrite to replace it")
    if not _is_run(run):
        raise InputError(f"{run} is not a run's folder, so it is not replaced; choose another --run")
    if (begun := _command(read_config(run))) != command:
        raise InputError(f"{run} was made by `recnas {begun}`, so it is not replaced; choose another --run")


def _make_room(run: Path) -> None:
    """Empties the folder."""
    # If this process is killed in between, the folder is that of a run that has not ended, or has room.
    order = {RESULTS: -1, CONFIG: 1, FILE_NAME: 2}
    for path in sorted(run.iterdir(), key=lambda path: order.get(path.name, 0)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_run(folder: Path) -> bool:
    """Whether a folder was made by a search or a study, so that replacing it loses nothing else."""
    try:
        config = read_yaml(folder / CONFIG)
    except (OSError, InputError):
        return False
    return {"version", "created", "warmup", "evolution"} <= set(config)


def _command(config: Mapping[str, Any]) -> str:
    # Only studies, and the tables that are made like them, have several warm-ups.
    if "warmups" not in config:
        return "search"
    return "bench" if "recipes_of" in config else "study"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

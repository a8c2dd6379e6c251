"""The house's rooms: what lies where, and that `data_prep`, which lies outside the package, imports one way, too.

`make lint` holds the rooms inside against the layers in pyproject.toml; import-linter cannot follow a package of
another folder.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, RECIPES = ROOT / "recnas", ROOT / "data_prep"
USED_BY_RECIPES = {"data_prep", "util", "features", "execution"}
USERS_OF_RECIPES = {"__init__.py", "cli"}
"""What lies above the recipes: the package's front, and the commands."""


def imported(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file below a folder with each module of recnas that it imports, wherever in the file that stands."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno}: imports are by the whole name"
                names = [f"{node.module}.{name.name}" for name in node.names]
            else:
                continue
            yield from ((file.relative_to(folder), name) for name in names if name.split(".")[0] == "recnas")


def test_recipes_use_no_more_than_values_their_encoding_and_what_runs_them() -> None:
    found = {(str(file), name) for file, name in imported(RECIPES) if name.split(".")[1] not in USED_BY_RECIPES}
    assert found == set()


def test_nothing_below_the_commands_uses_recipes() -> None:
    users = {file.parts[0] for file, name in imported(PACKAGE) if name.startswith("recnas.data_prep")}
    assert users <= USERS_OF_RECIPES


def test_no_module_lies_outside_a_room() -> None:
    assert {file.name for file in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_every_room_says_what_it_is_for() -> None:
    packages = [file for folder in (PACKAGE, RECIPES) for file in folder.rglob("*.py") if file.name == "__init__.py"]
    rooms = {path.parent for path in PACKAGE.rglob("*.py")}
    assert {file.parent for file in packages} >= rooms
    silent = [str(file) for file in packages if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))]
    assert silent == []

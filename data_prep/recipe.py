"""What a recipe is: the function that reads one kind of raw log, and what it declares of itself.

docs/extend.md has a whole recipe of a user's own, for a log that needs a hand before it is a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from recnas.data_prep.engine import RawTable
from recnas.util.errors import InputError
from recnas.util.user_code import import_user_code, is_user_code

Read = TypeVar("Read", bound=Callable[..., RawTable])


@dataclass(frozen=True)
class Option:
    """An option of a recipe's own.

    Args:
        help: one line for the command line.
        type: what its text is read as; bool: a flag without a text.
        several: whether it takes a list.
        choices: the texts allowed.
        flag: whether the command line has it; else it is for Python only.
        metavar: what stands for its text in the help; None: as its type has it.
    """

    help: str
    type: type = str
    several: bool = False
    choices: tuple[str, ...] | None = None
    flag: bool = True
    metavar: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How one kind of raw log is read.

    Args:
        name: what users call it.
        read: given the input (None: nothing given), where bad rows go, whether to show progress, and the recipe's own
            options by name, gives the rows.
        help: one line for the command line.
        example: a command.
        options: its own options by name; one with the option `confirm` guesses, and asks whether it may.
        tables: whether the input may be a table in memory.
        spreads: whether its files may be read on a cluster.
        beside_like: its own options that go with `like`, if it reads rows by any schema; None: its features are always
            the same, and no option of it changes what they are.
    """

    name: str
    read: Callable[..., RawTable]
    help: str
    example: str
    options: Mapping[str, Option] = field(default_factory=dict)
    tables: bool = False
    spreads: bool = False
    beside_like: tuple[str, ...] | None = None


RECIPES: dict[str, Recipe] = {}
"""Those of recnas by their names, and those of a user's own whose modules have been imported."""


def recipe(
    help: str,
    example: str | None = None,
    options: Mapping[str, Option] | None = None,
    *,
    tables: bool = False,
    spreads: bool = False,
    beside_like: tuple[str, ...] | None = None,
) -> Callable[[Read], Read]:
    """Declares a function as a recipe: it is given input, bad rows, progress and its own options, and gives the rows.

    In recnas it is named by its module; one of your own is called `module:function`. The arguments are `Recipe`'s.
    """

    def declare(read: Read) -> Read:
        package, _, module = read.__module__.rpartition(".")
        name = module if package == __package__ else f"{read.__module__}:{read.__qualname__}"
        shown = example or f"recnas prepare {name} --input LOG --output data/NAME"
        RECIPES[name] = Recipe(name, read, help, shown, options or {}, tables, spreads, beside_like)
        return read

    return declare


def find_recipe(name: str) -> Recipe:
    """A recipe by its name: one of recnas, or `module:function`, whose module is imported: the user must have named it.

    Raises:
        InputError: there is none.
    """
    if name in RECIPES:
        return RECIPES[name]
    if not is_user_code(name):
        raise InputError(
            f"there is no recipe {name!r}; take one of {', '.join(RECIPES)}, or module:function for one of your own"
        )
    import_user_code(name, "recipe")
    if name not in RECIPES:
        raise InputError(f"recipe {name}: no function of that module that `@recipe(…)` declares")
    return RECIPES[name]

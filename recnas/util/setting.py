"""What a user is told of a setting, and how it is given: described once, at the dataclass field that it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, replace
from typing import Any

from recnas.util.errors import InputError

_SETTING, _GROUP = "setting", "group"


@dataclass(frozen=True)
class Setting:
    """The description of one setting.

    Attributes:
        help: A description in one line.
        flag: Its flag; None for one that is made of the field's name and the prefix of its group.
        former_name: What the field was called before: read in files, from Python and as a flag.
        former_values: Values, or items of a list, that are called otherwise now, with their present names.
        former_flag: The flag of that name, as `flag` is of the present one.
        group: The title of the settings that it belongs to; None for those without one.
    """

    help: str
    flag: str | None = None
    former_name: str | None = None
    former_values: Mapping[str, str] = field(default_factory=dict)
    former_flag: str | None = None
    group: str | None = None

    def within(self, name: str, around: Group | None) -> Setting:
        """The same with its flags and its group's title.

        Args:
            name: The field's.
            around: The group that it belongs to.
        """
        prefix, title = ("", None) if around is None else (around.prefix, around.title)
        # A setting with a flag of its own never had the prefix.
        prefix = "" if self.flag else prefix
        former = None if self.former_name is None else flag_named(prefix + self.former_name)
        return replace(self, flag=self.flag or flag_named(prefix + name), former_flag=former, group=title)


@dataclass(frozen=True)
class Group:
    """The description of settings that belong together.

    Attributes:
        title: The heading of its settings in the help of a command.
        prefix: The beginning of their flags, such as `warmup-`.
    """

    title: str
    prefix: str = ""


def setting(
    default: Any = MISSING,
    *,
    help: str,
    flag: str | None = None,
    former_name: str | None = None,
    former_values: Mapping[str, str] | None = None,
) -> Any:
    """A dataclass field that is a setting; but for `default`, see `Setting`.

    >>> @dataclass(frozen=True)
    ... class Sizes:
    ...     batch_size: int = setting(512, help="rows a step")
    >>> Sizes().batch_size
    512
    """
    about = Setting(help, flag, former_name, former_values or {})
    return field(default=default, metadata={_SETTING: about})


def group(title: str, prefix: str = "") -> dict[str, Any]:
    """The metadata of a dataclass field that holds settings which belong together; see `Group`."""
    return {_GROUP: Group(title, prefix)}


def setting_of(item: Field[Any]) -> Setting | None:
    """The description of a field; None for one that is no setting of a user's."""
    return item.metadata.get(_SETTING)


def group_of(item: Field[Any]) -> Group | None:
    """The description of the settings in a field; None where they belong to those around them."""
    return item.metadata.get(_GROUP)


def flag_named(name: str) -> str:
    """The flag of a name of words."""
    return f"--{name.replace('_', '-')}"


def at_least(settings: Any, **least: int) -> None:
    """Checks lower bounds of settings, by their names.

    Raises:
        InputError: One is below its bound.
    """
    for name, bound in least.items():
        # What is not a number is not above either.
        if not getattr(settings, name) >= bound:
            raise InputError(f"{name} is {getattr(settings, name)}; it must be {bound} or more")

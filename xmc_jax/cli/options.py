"""Options of a command: its own ones by argparse, every other `--name value` a field of the config."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from xmc_jax.config import CONFIGS, replace_field
from xmc_jax.config.foreign import explain
from xmc_jax.errors import InputError

T = TypeVar("T")

Overrides = list[tuple[str, str]]
"""Option as typed (`--beam`) and its value, in the order of the command line."""


@dataclass(frozen=True)
class Arguments:
    """What a command was given.

    Attributes:
        named: the command's own options.
        overrides: the others, each to be a field of the config.
    """

    named: argparse.Namespace
    overrides: Overrides


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one line, raised, not printed."""

    def __init__(self, command: str, summary: str | None, *, sections: Sequence[str] = ()) -> None:
        """`sections`: of the config, or single fields of them, that `--section.field value` may set."""
        super().__init__(
            prog=f"xmc {command}",
            description=" ".join((summary or "").split("\n\n")[0].split()),
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._sections = tuple(sections)

    def format_help(self) -> str:
        """Returns the usage, the command's own options, and the settings that it takes."""
        from xmc_jax.cli.help import list_settings  # reads docstrings: only where they are shown

        return super().format_help() + (list_settings(self._sections) if self._sections else "")

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def parse(self, argv: Sequence[str]) -> Arguments:
        """Parses a command's words.

        Raises:
            InputError: an option that neither the command nor the config has, a value that is
                missing or not of its kind, a stray word.
        """
        try:
            named, rest = self.parse_known_args(list(argv))
        except InputError:
            # What seems to be missing may have been mistyped.
            for word in argv:
                option = word.partition("=")[0]
                if len(option) > 2 and option.startswith("--") and option not in self._options:
                    self._check_known(option)
            raise
        overrides = self._pair(rest)
        for option, _ in overrides:
            self._check_known(option)
        return Arguments(named, overrides)

    def _pair(self, rest: Sequence[str]) -> Overrides:
        """Cuts the words that argparse left over into options and values."""
        pairs: Overrides = []
        words = iter(range(len(rest)))
        for i in words:
            word = rest[i]
            if not word.startswith("--") or word == "--":
                self.error(f"'{word}' given where an option was needed, such as --workdir")
            option, equals, value = word.partition("=")
            if not equals:
                self._check_known(option)
                if i + 1 == len(rest) or rest[i + 1].startswith("--"):
                    self.error(f"option '{option}' needs a value")
                value = rest[next(words)]
            pairs.append((option, value))
        return pairs

    def _check_known(self, option: str) -> None:
        if self._sections and is_field(option, self._sections):
            return
        known = self._spellings()
        same = [known[k] for k in known if _flatten(k) == _flatten(option)]
        near = difflib.get_close_matches(option.replace("_", "-"), known, n=1)
        if not same and (foreign := explain(option, "--")):
            raise InputError(f"unknown option '{option}'; {foreign}")
        if not same and not near:
            self.error(f"unknown option '{option}'")
        meant = same[0] if same else known[near[0]]
        raise InputError(f"unknown option '{option}'; did you mean '{meant}'?")

    @property
    def _options(self) -> list[str]:
        """The command's own options."""
        return [option for action in self._actions for option in action.option_strings]

    def _spellings(self) -> dict[str, str]:
        """Returns every option there is by its spelling with dashes, the command's own ones last."""
        names = all_field_names(self._sections)
        bare = [f"--{name.rpartition('.')[2]}" for name in names]
        options = [option for option in bare if bare.count(option) == 1]
        options += [f"--{name}" for name in names]
        options += self._options
        return {option.replace("_", "-"): option for option in options}


def _flatten(option: str) -> str:
    return option.lower().replace("-", "").replace("_", "")


def field_name(config_type: type, option: str, sections: Sequence[str]) -> str | None:
    """Returns the dotted name of the field that an option such as `--beam` sets, or None.

    Raises:
        InputError: a bare name that several sections have.
    """
    name = option.removeprefix("--").replace("-", "_")
    names = list_field_names(config_type, sections)
    if name in names:
        return name
    if "." in name:
        return None
    several = [n for n in names if n.rpartition(".")[2] == name]
    if len(several) > 1:
        raise InputError(f"option '{option}' is ambiguous; write --{' or --'.join(several)}")
    return several[0] if several else None


def is_field(option: str, sections: Sequence[str]) -> bool:
    """Returns whether an option sets a field of some model's config; a file may say which model it is.

    Raises:
        InputError: a bare name that several sections of every model that has it have.
    """
    error: InputError | None = None
    for config_type in CONFIGS.values():
        try:
            if field_name(config_type, option, sections):
                return True
        except InputError as e:
            error = error or e
    if error is not None:
        raise error
    return False


def apply_overrides(config: T, overrides: Overrides, sections: Sequence[str]) -> T:
    """Returns the config with the fields set that the command line names.

    Raises:
        InputError: an unknown field, a value of the wrong kind or range; the option is named.
    """
    for option, value in overrides:
        name = field_name(type(config), option, sections)
        if name is None:
            raise InputError(f"option '{option}': this model has no such setting")
        try:
            config = replace_field(config, name, value)
        except InputError as error:
            raise InputError(f"option '{option} {value}': {error}") from None
    return config


def all_field_names(sections: Sequence[str]) -> list[str]:
    """Returns the fields of all models, once each."""
    return list(dict.fromkeys(n for t in CONFIGS.values() for n in list_field_names(t, sections)))


def list_field_names(config_type: type, sections: Sequence[str]) -> list[str]:
    """Returns the dotted names of the fields in the sections; `''` stands for the top one."""
    names = []
    default = config_type()
    for field in fields(default):
        value = getattr(default, field.name)
        if is_dataclass(value):
            inner = [f"{field.name}.{f.name}" for f in dataclasses.fields(value)]
            names += [name for name in inner if field.name in sections or name in sections]
        elif ("" in sections and field.name != "model") or field.name in sections:
            names.append(field.name)
    return names


def whole_number(least: int) -> Callable[[str], int]:
    """Returns an argparse type: a whole number of `least` or more."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(
                f"'{text}' given, a whole number of {least} or more needed"
            )
        return number

    return parse


def existing_run(text: str) -> Path:
    """An argparse type: the folder of a run, which must be there."""
    path = Path(text)
    if not path.is_dir():
        what = "is a file" if path.exists() else "no such folder"
        raise argparse.ArgumentTypeError(
            f"'{text}': {what}; the folder of a run needed, as `xmc train --workdir` made it"
        )
    if not (path / "config.json").is_file():
        raise argparse.ArgumentTypeError(
            f"'{text}': holds no run (no config.json); name the folder of `xmc train --workdir`"
        )
    return path

"""The settings that a command takes, as its `--help` lists them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass

from xmc_jax.cli.options import list_field_names
from xmc_jax.config import CONFIGS
from xmc_jax.config.meanings import FIRST, Meaning, describe_section, list_meanings

_WIDEST = 110


def list_settings(sections: Sequence[str]) -> str:
    """Returns the settings of some sections: the ones that matter most, then all of them by section.

    Each is shown with its default, what it means, and what it may hold.
    """
    meanings = find_meanings(sections)
    lines = [
        "",
        "settings, with their defaults (the last part of a name is enough where it is unique; `none` and",
        "`auto` are values; where models differ, the default of the first one is shown):",
    ]
    if all(name in meanings for name in FIRST):
        lines += ["", "the ones to try first:"]
        for name in FIRST:
            lines += _format(meanings[name])
    for section, names in group_names(meanings).items():
        lines += ["", *_wrap(f"{section or 'the run'}: {describe(section)}", "")]
        for name in names:
            lines += _format(meanings[name])
    return "\n".join(lines) + "\n"


def find_meanings(sections: Sequence[str]) -> dict[str, Meaning]:
    """Returns the settings of all models that lie in some sections, each once."""
    found: dict[str, Meaning] = {}
    for config_type in CONFIGS.values():
        every = list_meanings(config_type)
        for name in list_field_names(config_type, sections):
            found.setdefault(name, every[name])
    return found


def group_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns names by section, those without one by the model that they belong to."""
    groups: dict[str, list[str]] = {}
    for name in names:
        section, dot, _ = name.partition(".")
        owner = next(
            model for model, t in CONFIGS.items() if name in list_field_names(t, ("", name))
        )
        groups.setdefault(
            section if dot else "" if owner == "linear" else f"--model {owner}", []
        ).append(name)
    return groups


def describe(section: str) -> str:
    """Returns what a section is about, and which models have it if not all do."""
    if not section or section.startswith("--"):
        return "settings outside any section."
    owners = {
        model: type(getattr(default, section))
        for model, default in ((m, t()) for m, t in CONFIGS.items())
        if is_dataclass(getattr(default, section, None))
    }
    text = describe_section(next(iter(owners.values())))
    return text if "linear" in owners else f"({', '.join(owners)}) {text}"


def _format(meaning: Meaning) -> list[str]:
    head = f"  --{meaning.name} {meaning.default}"
    text = f"{meaning.text} [{meaning.choices}]"
    lines = _wrap(text, " " * 36)
    if len(head) < 35:
        return [head + lines[0][len(head) :], *lines[1:]]
    return [head, *lines]


def _wrap(text: str, indent: str) -> list[str]:
    width = max(60, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )

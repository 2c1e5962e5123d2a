"""Folders of format 1, which had no manifest: the run's parts are inferred from the files and the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmc_jax.errors import InputError
from xmc_jax.run import layout
from xmc_jax.run.arrays import is_committed, list_steps, load_note
from xmc_jax.run.manifest import RESTORE, Manifest

_MOST = 100  # numbers of two digits


def find_parts_by_look(folder: Path, header: dict[str, Any]) -> Manifest:
    """Returns the parts of a folder of format 1; nothing is known of their files yet.

    Raises:
        InputError: the run is complete, but a part that its settings require is missing.
    """
    config = header["config"]
    is_linear = config.get("model", "linear") == "linear"
    found = [layout.LABELS] if (folder / layout.LABELS).exists() else []
    # The file that is written last shows that the part is complete.
    signs = {layout.VECTORIZER: f"{layout.VECTORIZER}/vectorizer.json"}
    found += [name for name, sign in signs.items() if (folder / sign).exists()]
    if not is_linear:
        found += [layout.TREE] if is_committed(folder / layout.TREE) else []
        found += _list_states(folder)
        if is_committed(folder / layout.ENCODER / layout.PARAMS):
            found.append(layout.ENCODER)
    within = "" if is_linear else f"{layout.RANKER}/"
    if is_committed(folder / within / layout.VECTORS):
        found.append(within + layout.VECTORS)
    for member in _list_members(folder, config):
        found += _list_ranker(folder, within + member)
    if is_committed(folder / layout.CALIBRATION):
        found.append(layout.CALIBRATION)
    if (folder / layout.FACTS).exists():
        found.append(layout.FACTS)
        _check_rounds(folder, header, found, [within + m for m in _list_members(folder, config)])
    return Manifest(folder, "", dict.fromkeys(found))


def _list_members(folder: Path, config: dict[str, Any]) -> list[str]:
    trees = config.get("trees", 1)
    return [""] if trees == 1 else [f"{layout.member_name(i)}/" for i in range(trees)]


def _list_states(folder: Path) -> list[str]:
    """Returns the states of fine-tuned levels."""
    return [
        f"{layout.level_name(level)}/{step}"
        for level in range(_MOST)
        for step in list_steps(folder / layout.level_name(level))
    ]


def _list_ranker(folder: Path, within: str) -> list[str]:
    """Returns the tree, levels and rounds of one tree, in the order in which they were made."""
    found = []
    for number in range(_MOST):
        prefix = within if not number else f"{within}{layout.round_name(number)}/"
        if number and not (folder / prefix).is_dir():
            break
        names = [layout.BEAMS] if number else []
        names += [layout.TREE, *map(layout.level_name, range(_MOST))]
        found += [prefix + name for name in names if is_committed(folder / prefix / name)]
    return found


def _check_rounds(
    folder: Path, header: dict[str, Any], found: list[str], members: list[str]
) -> None:
    """Refuses a complete run that lacks rounds it must have had."""
    settings = header["config"].get("disentangle", {})
    if settings.get("copies", 1) == 1 or "digest" not in header["data"]:
        return  # there were no rounds, or it is a saved model, which holds only their outcome
    for within in members:
        for number in range(1, settings.get("rounds", 1) + 1):
            name = f"{within}{layout.round_name(number)}/{layout.TREE}"
            if name not in found:
                raise InputError(
                    f"{folder / name}: missing, though it belongs to the run; {RESTORE}"
                )
            if load_note(folder / name)["stop"]:
                break

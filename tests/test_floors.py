"""The house's floors: a room imports only floors below it, and rooms of one floor not each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "xmc_jax"

FLOORS = [  # lowest first
    {"types", "errors", "course"},
    {"memory", "files", "frames", "progress", "scores"},
    {"threads"},
    {"config"},
    {"ops"},
    {"losses", "metrics", "parallel"},
    {"data", "features"},
    {"model"},
    {"tree"},
    {"encoder", "matcher", "ranker", "disentangle", "calibrate", "rerank"},
    {"run"},
    {"predict"},
    {"linear", "explain", "results"},
    {"tuning", "report"},
    {"plan"},
    {"estimator"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path, package: Path = PACKAGE) -> str:
    first = path.relative_to(package).parts[0]
    return first.removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    """Returns the rooms that a module's text imports, wherever in it and also for types only."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write it from xmc_jax"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    rooms = (name.split(".")[1:2] for name in names if name.split(".")[0] == "xmc_jax")
    # `from xmc_jax import load` names no room: what it takes stands in the package itself.
    return {room[0] if room and room[0] in FLOOR else "__init__" for room in rooms}


def broken_rules(room: str, source: str) -> list[str]:
    others = imported_rooms(source) - {room}
    return [f"{room} imports {o}" for o in sorted(others) if FLOOR[o] >= FLOOR[room]]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.as_posix()[-40:])
def test_imports_go_down(path: Path):
    room = room_of(path)
    assert room in FLOOR, f"give the room '{room}' a floor in FLOORS"
    assert not broken_rules(room, path.read_text(encoding="utf-8"))


def test_the_rules_can_be_broken():
    assert broken_rules("ranker", "from xmc_jax.matcher import candidates")
    assert broken_rules("data", "def f():\n    import xmc_jax.features.tokens")
    assert broken_rules("tree", "from xmc_jax import linear")
    assert broken_rules("metrics", "from xmc_jax import load")
    assert not broken_rules("linear", "from xmc_jax.tree import build_tree\nimport numpy")
    assert not broken_rules("cli", "from xmc_jax import load")
    with pytest.raises(AssertionError, match="relative"):
        imported_rooms("from .tree import build_tree")

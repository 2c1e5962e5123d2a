"""`xmc describe`: a run's data, its tree level by level, sizes, sparsity and what is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xmc_jax.cli.options import Arguments, Parser, existing_run
from xmc_jax.cli.plan import format_bytes

COLUMNS = {
    "level": "level",
    "holds": "kind",
    "size": "size",
    "children": "children",
    "weights": "weights",
    "a node": "weights_per_node",
    "density": "density",
    "disk": "bytes",
    "state": "state",
}


def parse(argv: list[str]) -> Arguments:
    parser = Parser("describe", __doc__.partition("\n")[0])
    parser.add_argument(
        "--workdir", required=True, type=existing_run, metavar="W", help="the folder of a run"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    facts = describe_run(arguments.named.workdir)
    print(json.dumps(facts) if arguments.named.json else format_run(facts))


def describe_run(workdir: Path) -> dict[str, Any]:
    """Returns what a run's folder holds, finished or not, JSON-ready.

    Keys: `workdir`, `complete`, `config`, `data`, `source`, `levels` (empty before the tree is
    built): a row each as `describe_levels` gives it, with `state` "complete" or "missing", and for
    a complete level `weights`, `weights_per_node`, `density` (share of features x nodes, where the
    number of features is known) and `bytes` on disk.

    Raises:
        InputError: a damaged file.
    """
    from xmc_jax.checkpoint import is_committed, level_folder, load_level, load_tree, read_json
    from xmc_jax.errors import InputError
    from xmc_jax.train.restore import find_final
    from xmc_jax.train.run import is_complete, list_levels
    from xmc_jax.tree import describe_levels

    header = read_json(workdir / "config.json")
    if not isinstance(header, dict) or not {"config", "data"} <= header.keys():
        raise InputError(f"{workdir}/config.json: not written by this program; a run needed")
    facts: dict[str, Any] = {"workdir": str(workdir), "complete": is_complete(workdir)}
    facts |= {key: header.get(key) for key in ("config", "data", "source")}
    meta = read_json(workdir / "meta.json") if facts["complete"] else {}
    facts["levels"] = []
    if not is_committed(workdir / "tree"):
        return facts
    model = header["config"].get("model", "linear")
    if model != "linear":
        facts["tuning"] = describe_tuning(workdir)
    final = find_final(workdir, model)
    if not is_committed(final / "tree"):
        return facts
    tree, _, _ = load_tree(final)
    facts["levels"] = describe_levels(tree)
    for row, is_there in zip(facts["levels"], list_levels(final, tree.n_levels), strict=True):
        row["state"] = "complete" if is_there else "missing"
        if not is_there:
            continue
        weights, _ = load_level(final, row["level"])
        row["weights"] = weights.n_entries
        row["weights_per_node"] = weights.n_entries / weights.n_nodes
        if meta.get("n_sparse"):
            row["density"] = weights.n_entries / (weights.n_nodes * meta["n_sparse"])
        folder = level_folder(final, row["level"])
        row["bytes"] = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return facts


def describe_tuning(workdir: Path) -> list[dict[str, Any]]:
    """Returns a row for each level of the first tree: its size and how far its fine-tuning is.

    `step` is that of the newest checkpoint; `state` "complete", "begun" or "missing" (or not to be fine-tuned).
    """
    from xmc_jax.checkpoint import TuningStore, level_folder, load_tree, read_json
    from xmc_jax.config import at_level

    steps = read_json(workdir / "config.json")["config"]["tuning"]["steps"]
    steps = tuple(steps) if isinstance(steps, list) else steps
    rows = []
    for level, size in enumerate(load_tree(workdir)[0].level_sizes):
        row: dict[str, Any] = {"level": level, "size": size, "steps": at_level(steps, level)}
        row["state"] = "missing"
        if level_folder(workdir, level).is_dir():
            with TuningStore(level_folder(workdir, level)) as store:
                last = store.last_step
            if last is not None:
                row["step"] = min(last, row["steps"])
                row["state"] = "complete" if last > row["steps"] else "begun"
        rows.append(row)
    return rows


def format_run(facts: dict[str, Any]) -> str:
    """Returns the facts as lines for reading."""
    data, levels = facts["data"], facts["levels"]
    done = sum(row["state"] == "complete" for row in levels)
    state = (
        "complete" if facts["complete"] else f"unfinished, {done} levels of {len(levels) or '?'}"
    )
    counts = ", ".join(f"{v:,} {k}" for k, v in data.items() if isinstance(v, int))
    source = f" ({facts['source']['data']})" if facts["source"] else ""
    lines = [
        f"run     {facts['workdir']}: {facts['config'].get('model')}, {state}",
        f"data    {counts}{source}",
    ]
    for row in facts.get("tuning", []):
        done = f", step {row['step']} of {row['steps']}" if "step" in row else ""
        lines.append(f"tuning  level {row['level']}, {row['size']:,} nodes: {row['state']}{done}")
    if not levels:
        return "\n".join([*lines, "tree    not built yet"])
    cells = [list(COLUMNS)] + [
        [_format_cell(row, key) for key in COLUMNS.values()] for row in levels
    ]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines.append("")
    lines += ["  ".join(c.rjust(w) for c, w in zip(r, wide, strict=True)).rstrip() for r in cells]
    return "\n".join(lines)


def _format_cell(row: dict[str, Any], key: str) -> str:
    if key == "children":
        return f"{row['children_min']:,}-{row['children_max']:,}, mean {row['children_mean']:.1f}"
    value = row.get(key, "-")
    if key == "bytes" and value != "-":
        return format_bytes(value)
    if key == "density" and value != "-":
        return f"{100 * value:.3g} %"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)

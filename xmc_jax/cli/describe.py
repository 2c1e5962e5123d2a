"""`xmc describe`: a run's data, its tree level by level, sizes, sparsity and what is complete; or the clusters of a
label."""

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
OTHERS = 8
"""Labels that are shown beside one in its cluster, the most frequent first."""


def parse(argv: list[str]) -> Arguments:
    parser = Parser("describe", __doc__)
    parser.add_argument(
        "--workdir", required=True, type=existing_run, metavar="W", help="the folder of a run"
    )
    parser.add_argument(
        "--label", metavar="NAME", help="show the clusters of one label and what else is in them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    named = arguments.named
    if named.label is not None:
        facts = describe_label(named.workdir, named.label)
        print(json.dumps(facts) if named.json else format_label(facts))
        return
    facts = describe_run(named.workdir)
    print(json.dumps(facts) if named.json else format_run(facts))


def describe_run(workdir: Path) -> dict[str, Any]:
    """Returns what a run's folder holds, finished or not, JSON-ready.

    Keys: `workdir`, `complete`, `config`, `data`, `source`, `rounds` (of disentangling: a note
    each with `round`, `stop`, `before` and `after`), `levels` (empty before the tree is built; of
    the newest round's tree): a row each as `describe_levels` gives it, with `state` "complete" or "missing", and for
    a complete level `weights`, `weights_per_node`, `density` (share of features x nodes, where the
    number of features is known) and `bytes` on disk. Of a forest `levels` and `rounds` are empty and
    `members` holds them for each tree.

    Raises:
        InputError: a damaged file.
    """
    from xmc_jax.errors import InputError
    from xmc_jax.run import is_committed, list_member_folders, read_json
    from xmc_jax.run.folder import is_complete
    from xmc_jax.run.restore import find_final

    header = read_json(workdir / "config.json")
    if not isinstance(header, dict) or not {"config", "data"} <= header.keys():
        raise InputError(f"{workdir}/config.json: not written by this program; a run needed")
    facts: dict[str, Any] = {"workdir": str(workdir), "complete": is_complete(workdir)}
    facts |= {key: header.get(key) for key in ("config", "data", "source")}
    meta = read_json(workdir / "meta.json") if facts["complete"] else {}
    facts["levels"], facts["rounds"] = [], []
    trees = header["config"].get("trees", 1)
    if trees > 1:
        folders = list_member_folders(workdir, trees)
        facts["members"] = [describe_member(folder, meta) for folder in folders]
        return facts
    if not is_committed(workdir / "tree"):
        return facts
    model = header["config"].get("model", "linear")
    if model != "linear":
        facts["tuning"] = describe_tuning(workdir)
    return facts | describe_member(find_final(workdir, model), meta)


def describe_member(final: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Returns `levels` and `rounds` of one tree, as `describe_run` has them.

    Args:
        final: the folder that holds its `tree/`, finished or not.
        meta: of the run, empty for an unfinished one.
    """
    from xmc_jax.run import (
        find_parts,
        is_committed,
        level_folder,
        list_rounds,
        load_level,
        load_tree,
    )
    from xmc_jax.run.folder import list_levels
    from xmc_jax.tree import describe_levels

    if not is_committed(final / "tree"):
        return {"levels": [], "rounds": []}
    parts = find_parts(final)
    tree, _, _ = load_tree(parts.find_tree())
    levels = describe_levels(tree)
    for row, is_there in zip(levels, list_levels(final, tree.n_levels), strict=True):
        row["state"] = "complete" if is_there else "missing"
        if not is_there:
            continue
        weights, _ = load_level(parts.find_level(row["level"]), row["level"])
        row["weights"] = weights.n_entries
        row["weights_per_node"] = weights.n_entries / weights.n_nodes
        if meta.get("n_sparse"):
            row["density"] = weights.n_entries / (weights.n_nodes * meta["n_sparse"])
        folder = level_folder(parts.find_level(row["level"]), row["level"])
        row["bytes"] = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return {"levels": levels, "rounds": list_rounds(final)}


def describe_tuning(workdir: Path) -> list[dict[str, Any]]:
    """Returns a row for each level of the first tree: its size and how far its fine-tuning is.

    `step` is that of the newest checkpoint; `state` "complete", "begun" or "missing" (or not to be fine-tuned).
    """
    from xmc_jax.config import at_level
    from xmc_jax.run import TuningStore, level_folder, load_tree, read_json

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


def describe_label(workdir: Path, name: str) -> dict[str, Any]:
    """Returns where a label sits, JSON-ready.

    Keys: `label`, `documents` (of training), `clusters`: for each the `path` of node numbers from
    the root's child down, `size`, and `others`, its most frequent other labels as [name,
    documents]; in a forest also the number of its `tree`, 1 for the first.

    Raises:
        InputError: no such label (with a suggestion), labels without names, no tree yet.
    """
    from xmc_jax.data import read_labels
    from xmc_jax.errors import InputError, suggest
    from xmc_jax.run import list_member_folders, read_json
    from xmc_jax.run.restore import find_final

    if not (workdir / "labels.txt").is_file():
        raise InputError(f"option '--label {name}': the labels of {workdir} have no names")
    names = read_labels(workdir / "labels.txt")
    if name not in names:
        near = suggest(name, names)
        hint = near if near.startswith("; did") else "; a line of its labels.txt needed"
        raise InputError(f"option '--label {name}': {workdir} has no such label{hint}")
    label = names.index(name)
    config = read_json(workdir / "config.json")["config"]
    final, trees = find_final(workdir, config.get("model", "linear")), config.get("trees", 1)
    clusters, documents = [], 0
    for i, folder in enumerate(list_member_folders(final, trees)):
        rows, documents = _find_clusters(folder, label, names)
        clusters += [row | ({"tree": i + 1} if trees > 1 else {}) for row in rows]
    return {"label": name, "documents": documents, "clusters": clusters}


def _find_clusters(folder: Path, label: int, names: list[str]) -> tuple[list[dict], int]:
    """Returns the clusters of a label in one tree, and its training documents."""
    import numpy as np

    from xmc_jax.errors import InputError
    from xmc_jax.run import find_parts, is_committed, load_tree

    if not is_committed(folder / "tree"):
        raise InputError(f"{folder}: its tree is not built yet; run the training command again")
    tree, counts, _ = load_tree(find_parts(folder).find_tree())
    offsets = tree.children_offsets(-1)
    clusters = []
    for edge in np.flatnonzero(tree.edge_label == label):
        cluster = int(tree.edge_cluster[edge])
        inside = tree.edge_label[offsets[cluster] : offsets[cluster + 1]]
        others = inside[inside != label]
        others = others[np.lexsort((others, -counts[others]))][:OTHERS]
        path = [int(tree.edge_ancestor(t)[edge]) for t in range(tree.n_levels - 1)]
        rows = [[names[i], int(counts[i])] for i in others]
        clusters.append({"path": path, "size": len(inside), "others": rows})
    return clusters, int(counts[label])


def format_label(facts: dict[str, Any]) -> str:
    """Returns the facts of a label as lines for reading."""
    n = len(facts["clusters"])
    lines = [
        f"label   {facts['label']}: {facts['documents']:,} documents, "
        f"{n} cluster{'s' if n > 1 else ''}"
    ]
    for row in facts["clusters"]:
        path = " > ".join(map(str, row["path"])) or "the root"
        tree = f"tree {row['tree']}, " if "tree" in row else ""
        lines += ["", f"{tree}cluster {path}, {row['size']:,} labels, among them"]
        lines += [f"  {name} ({count:,})" for name, count in row["others"]]
    return "\n".join(lines)


def format_run(facts: dict[str, Any]) -> str:
    """Returns the facts as lines for reading."""
    data, levels = facts["data"], facts["levels"]
    done = sum(row["state"] == "complete" for row in levels)
    state = (
        "complete" if facts["complete"] else f"unfinished, {done} levels of {len(levels) or '?'}"
    )
    members = facts.get("members", [])
    if members:
        state = f"{len(members)} trees, " + ("complete" if facts["complete"] else "unfinished")
    counts = ", ".join(f"{v:,} {k}" for k, v in data.items() if isinstance(v, int))
    source = f" ({facts['source']['data']})" if facts["source"] else ""
    lines = [
        f"run     {facts['workdir']}: {facts['config'].get('model')}, {state}",
        f"data    {counts}{source}",
    ]
    for row in facts.get("tuning", []):
        done = f", step {row['step']} of {row['steps']}" if "step" in row else ""
        lines.append(f"tuning  level {row['level']}, {row['size']:,} nodes: {row['state']}{done}")

    if members:
        return "\n".join([*lines, *(_format_member(i, m) for i, m in enumerate(members, 1))])
    lines += [_format_round(note) for note in facts["rounds"]]
    if not levels:
        return "\n".join([*lines, "tree    not built yet"])
    cells = [list(COLUMNS)] + [
        [_format_cell(row, key) for key in COLUMNS.values()] for row in levels
    ]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines.append("")
    lines += ["  ".join(c.rjust(w) for c, w in zip(r, wide, strict=True)).rstrip() for r in cells]
    return "\n".join(lines)


def _format_member(number: int, member: dict[str, Any]) -> str:
    """Returns a tree of a forest as one line."""
    levels = member["levels"]
    if not levels:
        return f"tree {number:<2} not built yet"
    done = [row for row in levels if row["state"] == "complete"]
    rounds = sum(not note["stop"] for note in member["rounds"])
    parts = [
        " - ".join(f"{row['size']:,}" for row in levels),
        f"{sum(row['weights'] for row in done):,} weights",
        format_bytes(sum(row["bytes"] for row in done)),
        f"{len(done)} of {len(levels)} levels",
    ]
    parts += [f"{rounds} round{'s' if rounds > 1 else ''} of disentangling"] if rounds else []
    return f"tree {number:<2} {', '.join(parts)}"


def _format_round(note: dict[str, Any]) -> str:
    before, after = note["before"], note["after"]
    gain = after["objective"] / max(before["objective"], 1) - 1
    if note["stop"]:
        return f"round {note['round']} would gain {100 * gain:.2g} %: not done"
    return (
        f"round {note['round']} labels moved to {after['edges']:,} places, "
        f"{after['largest']:,} in the fullest cluster; objective {100 * gain:+.3g} %, "
        f"{100 * after['gap']:.2g} % below the optimum; positives in reach "
        f"{100 * before['reached']:.1f} -> {100 * after['reached']:.1f} %"
    )


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

"""`xmc describe`: shows a run's data, its tree level by level, sizes, sparsity and what is complete; or the clusters
of a label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmc_jax.cli.format_run import format_label, format_run
from xmc_jax.cli.options import Arguments, Parser, existing_run
from xmc_jax.cli.update import is_due

if TYPE_CHECKING:
    from xmc_jax.config import PrototypeConfig, TransformerConfig
    from xmc_jax.run import Run

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
    `members` holds them for each tree. Of a prototype model `levels` and `rounds` are empty too; `tuning` is one row
    with `step`, `steps` and `state`, and `prototypes` (once they are there) holds `labels`, `hidden`, `type`, `bytes`,
    `with_documents`, `from_text_alone` and `never_predicted`, the last with up to 10 `examples`. Where they are there,
    `calibration` holds `method` and `documents`, `updates` what each update did, `new_tree_due` whether the tree has
    fallen behind, `reranker` what was chosen, scores on held-out documents and `bytes`.

    Raises:
        InputError: a damaged file.
    """
    from xmc_jax.config import PrototypeConfig
    from xmc_jax.run import Run, find_manifest, layout, list_members, read_header, read_settings
    from xmc_jax.run.restore import final_run, read_facts

    manifest = find_manifest(workdir)
    run, config, header = Run(manifest), read_settings(manifest), read_header(workdir)
    if not run.is_complete:  # what is gone is made again
        for name in manifest.list_gone():
            del manifest.parts[name]
    manifest.check_all()
    facts: dict[str, Any] = {"workdir": str(workdir), "complete": run.is_complete}
    facts |= {key: header.get(key) for key in ("config", "data", "source")}
    facts |= describe_learned(run)
    meta = read_facts(run) if run.is_complete else {}
    if "updates" in meta:
        facts["updates"] = meta["updates"]
        facts["new_tree_due"] = is_due(meta["updates"])
    if isinstance(config, PrototypeConfig):
        return facts | describe_prototypes(run, config)
    members = list_members(final_run(run, config), config)
    if config.model != "linear" and run.has(layout.TREE):
        facts["tuning"] = describe_tuning(run, config)
    if len(members) == 1:
        return facts | describe_member(members[0], meta)
    parts = [describe_member(member, meta) for member in members]
    return facts | {"levels": [], "rounds": [], "members": parts}


def describe_learned(run: Run) -> dict[str, Any]:
    """Returns what is known of a run's probabilities and of its memory of the training set; see `describe_run`."""
    from xmc_jax.run import read_learned

    calibration, reranker = read_learned(run)
    facts: dict[str, Any] = {}
    if calibration is not None:
        facts["calibration"] = {"method": calibration.method, "documents": calibration.n_rows}
    if reranker is not None:
        facts["reranker"] = reranker.told | {
            "learner": reranker.config.learner,
            "bytes": reranker.memory.n_bytes,
            "said": reranker.describe(),
        }
    return facts


def describe_prototypes(run: Run, config: PrototypeConfig) -> dict[str, Any]:
    """Returns how far a fine-tuning against all labels is, and what is known of the labels; see `describe_run`."""
    import numpy as np

    from xmc_jax.data import read_labels
    from xmc_jax.run import layout, load_prototypes

    steps = config.tuning.steps
    facts: dict[str, Any] = {"levels": [], "rounds": []}
    last = run.steps(layout.TUNING).last_step
    row: dict[str, Any] = {"steps": steps, "state": "missing"}
    if run.has(layout.PROTOTYPES):
        row |= {"step": steps, "state": "complete"}
    elif last is not None:
        row |= {"step": min(last, steps), "state": "complete" if last > steps else "begun"}
    facts["tuning"] = [row]
    if not run.has(layout.PROTOTYPES):
        return facts
    prototypes, counts = run.read(layout.PROTOTYPES, load_prototypes)
    has_documents, is_known = counts > 0, np.isfinite(prototypes.bias)
    never = np.flatnonzero(~is_known)
    names = run.read(layout.LABELS, read_labels) if run.has(layout.LABELS) else None
    facts["prototypes"] = {
        "labels": prototypes.n_labels,
        "hidden": prototypes.hidden,
        "type": str(prototypes.rows.dtype),
        "bytes": prototypes.n_bytes,
        "with_documents": int(has_documents.sum()),
        "from_text_alone": int((~has_documents & is_known).sum()),
        "never_predicted": len(never),
        "examples": [names[i] if names else int(i) for i in never[:10]],
    }
    return facts


def describe_member(run: Run, meta: dict[str, Any]) -> dict[str, Any]:
    """Returns `levels` and `rounds` of one tree, as `describe_run` has them.

    Args:
        run: where it is kept, finished or not.
        meta: of the run, empty for an unfinished one.
    """
    from xmc_jax.run import find_parts, layout, list_rounds, load_level
    from xmc_jax.tree import describe_levels

    if not run.has(layout.TREE):
        return {"levels": [], "rounds": []}
    parts = find_parts(run)
    tree = parts.read_tree().tree
    levels = describe_levels(tree)
    for row, is_there in zip(levels, parts.list_levels(tree), strict=True):
        row["state"] = "complete" if is_there else "missing"
        if not is_there:
            continue
        at, name = parts.find_level(row["level"]), layout.level_name(row["level"])
        weights = at.read(name, load_level)
        row["weights"] = weights.n_entries
        row["weights_per_node"] = weights.n_entries / weights.n_nodes
        if meta.get("n_sparse"):
            row["density"] = weights.n_entries / (weights.n_nodes * meta["n_sparse"])
        row["bytes"] = sum(p.stat().st_size for p in (at.folder / name).rglob("*") if p.is_file())
    return {"levels": levels, "rounds": list_rounds(run)}


def describe_tuning(run: Run, config: TransformerConfig) -> list[dict[str, Any]]:
    """Returns a row for each level of the first tree: its size and how far its fine-tuning is.

    `step` is that of the newest checkpoint; `state` "complete", "begun" or "missing" (or not to be fine-tuned).
    """
    from xmc_jax.config import at_level
    from xmc_jax.run import layout, load_tree

    rows = []
    for level, size in enumerate(run.read(layout.TREE, load_tree).tree.level_sizes):
        steps, last = (
            at_level(config.tuning.steps, level),
            run.steps(layout.level_name(level)).last_step,
        )
        row: dict[str, Any] = {"level": level, "size": size, "steps": steps, "state": "missing"}
        if last is not None:
            row["step"] = min(last, steps)
            row["state"] = "complete" if last > steps else "begun"
        rows.append(row)
    return rows


def describe_label(workdir: Path, name: str) -> dict[str, Any]:
    """Returns where a label sits, JSON-ready.

    Keys: `label`, `documents` (of training), `clusters`: for each the `path` of node numbers from
    the root's child down, `size`, and `others`, its most frequent other labels as [name,
    documents]; in a forest also the number of its `tree`, 1 for the first. Of a prototype model there is `near` in the
    place of `clusters`: the labels of the nearest prototypes as [name, cosine].

    Raises:
        InputError: no such label (with a suggestion), labels without names, no tree yet.
    """
    from xmc_jax.config import PrototypeConfig
    from xmc_jax.data import NamedLabels, find_label, read_labels
    from xmc_jax.errors import InputError, suggest
    from xmc_jax.run import (
        Run,
        find_manifest,
        layout,
        list_members,
        read_display,
        read_settings,
    )
    from xmc_jax.run.restore import final_run

    manifest = find_manifest(workdir)
    run, config = Run(manifest), read_settings(manifest)
    if not run.has(layout.LABELS):
        raise InputError(f"option '--label {name}': the labels of {workdir} have no names")
    names: list[str] = run.read(layout.LABELS, read_labels)
    display = read_display(workdir)
    if display is not None:
        names = NamedLabels(names, display)
    label = find_label(names, name)
    if label is None:
        near = suggest(name, names)
        hint = near if near.startswith("; did") else "; a line of its labels.txt needed"
        raise InputError(f"option '--label {name}': {workdir} has no such label{hint}")
    called = {"label": names[label]}
    if display is not None and names[label] in display.display:
        called["name"] = display.show(names[label])
    if isinstance(config, PrototypeConfig):
        return called | _find_near(run, label, names)
    members = list_members(final_run(run, config), config)
    clusters, documents = [], 0
    for i, member in enumerate(members):
        rows, documents = _find_clusters(member, label, names)
        clusters += [row | ({"tree": i + 1} if len(members) > 1 else {}) for row in rows]
    return called | {"documents": documents, "clusters": clusters}


def _find_near(run: Run, label: int, names: list[str]) -> dict[str, Any]:
    """Returns the training documents of a label, and the labels whose prototypes are nearest with their cosines."""
    import numpy as np

    from xmc_jax.data import tell_label
    from xmc_jax.errors import InputError
    from xmc_jax.run import layout, load_prototypes

    if not run.has(layout.PROTOTYPES):
        raise InputError(f"{run.folder}: no prototypes yet; run the training command again")
    prototypes, counts = run.read(layout.PROTOTYPES, load_prototypes)
    rows = np.asarray(prototypes.rows, np.float32)
    cosines = rows @ rows[label] / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    cosines /= max(float(np.linalg.norm(rows[label])), 1e-12)
    order = np.argsort(-cosines, kind="stable")
    near = [[tell_label(names, int(i)), round(float(cosines[i]), 3)] for i in order if i != label][
        :OTHERS
    ]
    return {"documents": int(counts[label]), "near": near}


def _find_clusters(run: Run, label: int, names: list[str]) -> tuple[list[dict], int]:
    """Returns the clusters of a label in one tree, and its training documents."""
    import numpy as np

    from xmc_jax.data import tell_label
    from xmc_jax.errors import InputError
    from xmc_jax.run import find_parts, layout

    if not run.has(layout.TREE):
        raise InputError(f"{run.folder}: its tree is not built yet; run the training command again")
    tree, counts, _ = find_parts(run).read_tree()
    offsets = tree.children_offsets(-1)
    clusters = []
    for edge in np.flatnonzero(tree.edge_label == label):
        cluster = int(tree.edge_cluster[edge])
        inside = tree.edge_label[offsets[cluster] : offsets[cluster + 1]]
        others = inside[inside != label]
        others = others[np.lexsort((others, -counts[others]))][:OTHERS]
        path = [int(tree.edge_ancestor(t)[edge]) for t in range(tree.n_levels - 1)]
        rows = [[tell_label(names, int(i)), int(counts[i])] for i in others]
        clusters.append({"path": path, "size": len(inside), "others": rows})
    return clusters, int(counts[label])

"""A run or a label of it, as `xmc describe` found it, as lines for reading."""

from __future__ import annotations

from typing import Any

from xmc_jax.cli.format import format_bytes
from xmc_jax.cli.update import describe_reached, describe_update

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


def _call(facts: dict[str, Any]) -> str:
    return f"{facts['name']} <{facts['label']}>" if "name" in facts else facts["label"]


def format_label(facts: dict[str, Any]) -> str:
    """Returns the facts of a label as lines for reading."""
    if "near" in facts:
        lines = [f"label   {_call(facts)}: {facts['documents']:,} documents; nearest prototypes"]
        return "\n".join([*lines, *(f"  {cosine:.3f}  {name}" for name, cosine in facts["near"])])
    n = len(facts["clusters"])
    lines = [
        f"label   {_call(facts)}: {facts['documents']:,} documents, "
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
    if facts["config"].get("model") == "prototype" and not facts["complete"]:
        state = "unfinished"
    members = facts.get("members", [])
    if members:
        state = f"{len(members)} trees, " + ("complete" if facts["complete"] else "unfinished")
    counts = ", ".join(f"{v:,} {k}" for k, v in data.items() if isinstance(v, int))
    source = f" ({facts['source']['data']})" if facts["source"] else ""
    lines = [
        f"run     {facts['workdir']}: {facts['config'].get('model')}, {state}",
        f"data    {counts}{source}",
        *_format_updates(facts),
        *_format_learned(facts),
    ]
    if "prototypes" in facts or (facts.get("tuning") and "level" not in facts["tuning"][0]):
        return "\n".join([*lines, *_format_prototypes(facts)])
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


def _format_updates(facts: dict[str, Any]) -> list[str]:
    """Returns the updates since the first training as lines."""
    updates = facts.get("updates", [])
    lines = [f"update {i} {describe_update(done)}" for i, done in enumerate(updates, 1)]
    reached = describe_reached(updates) if updates else None
    return lines if reached is None else [*lines, f"reach   {reached}"]


def _format_learned(facts: dict[str, Any]) -> list[str]:
    """Returns probabilities and memory as lines."""
    lines = []
    if "calibration" in facts:
        maps = facts["calibration"]
        lines.append(f"chance  probabilities ({maps['method']}) of {maps['documents']:,} documents")
    if "reranker" in facts:
        memory = facts["reranker"]
        lines.append(f"memory  {memory['said']}; {format_bytes(memory['bytes'])}")
    return lines


def _format_prototypes(facts: dict[str, Any]) -> list[str]:
    """Returns a prototype model as lines."""
    (row,) = facts["tuning"]
    done = f", step {row['step']:,} of {row['steps']:,}" if "step" in row else ""
    lines = [f"tuning  all labels: {row['state']}{done}"]
    known = facts.get("prototypes")
    if known is None:
        return [*lines, "labels  no prototypes yet"]
    lines.append(
        f"labels  {known['labels']:,} prototypes of {known['hidden']} numbers, {known['type']}, "
        f"{format_bytes(known['bytes'])}"
    )
    lines.append(f"        {known['with_documents']:,} have documents")
    if known["from_text_alone"]:
        lines.append(
            f"        {known['from_text_alone']:,} have none and are predicted from their text alone"
        )
    if known["never_predicted"]:
        examples = ", ".join(str(name) for name in known["examples"][:3])
        lines.append(
            f"        {known['never_predicted']:,} have neither documents nor a text and are never predicted "
            f"({examples}{', …' if known['never_predicted'] > 3 else ''})"
        )
    return lines


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

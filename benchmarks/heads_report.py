"""Tables and picture of `heads.jsonl`: mixtures, the ablation, other data sets, labels without documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heads import ROWS, WHOLE
from rows import join_scores, make_table, read_rows

CASE = "bundled:wordnet"
PICTURE = "heads.svg"
MIXED = {
    "head": "head",
    "model": "model",
    "ranker": "ranker",
    "ranker + head": "ranker, head",
    "ranker + neighbours": "ranker, neighbours",
    "ranker + head + neighbours": "all three",
}
"""What a row may hold → its column."""


def make_heads(folder: Path) -> str:
    """Returns the tables of a device."""
    rows = read_rows(folder / "heads.jsonl")
    parts = [_make_mixtures(rows, folder), _make_ablation(rows, folder), _make_smaller(rows)]
    parts += [_make_whole(rows), _make_sets(rows), _make_unseen(rows)]
    return "\n".join([part for part in parts if part])


def find_ablation(rows: Sequence[dict]) -> tuple[list[dict], str]:
    """Returns the rows of the ablation in the order of `ROWS`, those of the most common case, and the part that tells
    of them: test documents, or the held-out ones where no others were scored."""
    known = [r for r in rows if r["data"] == CASE and not r["unseen"] and "head" in r]
    cases = [(r["documents"], r["steps"], r["test"]) for r in known]
    names: dict[tuple, set[str]] = {case: set() for case in cases}
    for row, case in zip(known, cases, strict=True):
        names[case] |= {row["row"]} - {"seed 1", "seed 2"}
    most = max(names, key=lambda case: (len(names[case]), case), default=(0, 0, 0))
    order = {name: i for i, name in enumerate(ROWS)}
    found = [r for r, case in zip(known, cases, strict=True) if case == most]
    return sorted(found, key=lambda r: order[r["row"]]), "test" if most[-1] else "held out"


def draw_heads(folder: Path) -> None:
    """Draws P@1 and PSP@5 of each row of the ablation, minus those of the whole."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows, part = find_ablation(read_rows(folder / "heads.jsonl"))
    whole = next((r for r in rows if r["row"] == WHOLE), None)
    others = [r for r in rows if r["row"] not in (WHOLE, "seed 1", "seed 2")][::-1]
    if whole is None or not others:
        return
    style = {"svg.fonttype": "none", "svg.hashsalt": "xmc_jax", "font.size": 9}
    with plt.rc_context(style):
        size = 6.4, 0.8 + 0.34 * len(others)
        figure, axis = plt.subplots(figsize=size, layout="constrained")
        for i, (metric, colour) in enumerate((("PSP@5", "#9ab8d9"), ("P@1", "#1b3a5c"))):
            gains = [r["head"][part][metric] - whole["head"][part][metric] for r in others]
            at = [j + 0.38 * i - 0.19 for j in range(len(others))]
            axis.barh(at, gains, 0.36, label=metric, color=colour)
        axis.set_ylim(-0.6, len(others) - 0.4)
        axis.grid(axis="x", linewidth=0.4, color="#dddddd")
        axis.set_axisbelow(True)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(others)), [r["row"] for r in others])
        base = whole["head"][part]
        scores = f"P@1 {base['P@1']:.2f}, PSP@5 {base['PSP@5']:.2f}"
        axis.set_xlabel(f"points minus the whole's ({scores})")
        handles, names = axis.get_legend_handles_labels()
        place = dict(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        axis.legend(handles[::-1], names[::-1], frameon=False, fontsize=8, **place)
        axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / PICTURE, metadata={"Date": None})
        plt.close(figure)


def _make_mixtures(rows: Sequence[dict], folder: Path) -> str:
    """Returns the table of the case with its mixtures, whose weights held-out documents chose."""
    chosen = [r for r in rows if r["data"] == CASE and r["mix"] and r["steps"] == 120]
    if not chosen:
        return ""
    lines = [
        f"Prototypes and XR-Transformer on 8,000 WordNet glosses, all-MiniLM-L6-v2, 120 updates of 64 glosses "
        f"({chosen[0]['device']}; `benchmarks/results/{folder.name}/heads.jsonl`; all test glosses, P@1/3/5; weights "
        "of mixtures chosen on 2,000 other training glosses; `ranker` is XR-Linear on TF-IDF and vectors, `model` "
        "XR-Transformer with its own; processor time of the fine-tuning, compilation included; XR-Transformer's also "
        "holds its vectors between the levels, and that of prototypes without the first vectors, which rows share):",
        "",
        f"| fine-tuned with | {' | '.join(MIXED.values())} | fine-tuning, processor s |",
        "| --- |" + " --- |" * (len(MIXED) + 1),
    ]
    for row in chosen:
        name = "prototypes" if row["row"] == WHOLE else row["row"]
        name = f"prototypes, {name}" if name.startswith("seed") else name
        cells = [join_scores(row[m]["test"], "P") if m in row else "" for m in MIXED]
        took = row.get("tuning_cpu_s")
        lines.append(f"| {name} | {' | '.join(cells)} | {'' if took is None else f'{took:.0f}'} |")
    return "\n".join([*lines, ""])


def _make_ablation(rows: Sequence[dict], folder: Path) -> str:
    found, part = find_ablation(rows)
    if len({r["row"] for r in found} - {"seed 1", "seed 2"}) < 3:
        return ""
    said = "all test glosses" if part == "test" else "the 2,000 held-out glosses"
    lines = [
        f"The parts of prototypes, {found[0]['steps']} updates, head alone, {said} (`ROWS` in `benchmarks/heads.py` "
        "says what a row changes; the standard error of P@1 is "
        f"{'0.5' if part == 'test' else '1.1'} points, that of a difference of two rows less):",
        "",
        "| row | P@1/3/5 | PSP@1/3/5 | R@10 |",
        "| --- | --- | --- | --- |",
    ]
    for row in found:
        scores = row["head"][part]
        cells = [row["row"], join_scores(scores, "P"), join_scores(scores, "PSP")]
        lines.append("| " + " | ".join([*cells, f"{scores['recall@10']:.2f}"]) + " |")
    return "\n".join([*lines, "", f"![ablation](results/{folder.name}/{PICTURE})", ""])


def _make_smaller(rows: Sequence[dict]) -> str:
    """Returns the table of shortlists in training and of smaller prototypes after it, on the case of the whole's."""
    whole = next((r for r in rows if "stored" in r and not r["test"]), None)
    if whole is None:
        return ""
    case = ("data", "documents", "steps", "test", "unseen", "mix")
    found = {
        r["row"]: r["head"]["held out"] for r in rows if all(r.get(k) == whole[k] for k in case)
    }
    lines = [
        f"Prototypes that are trained against a shortlist (256 random labels of {whole['labels']:,}, those of the "
        "batch, 8 near each of them) or stored smaller after training against all labels; head alone, "
        f"{whole['documents']:,} glosses, {whole['steps']} updates, the 2,000 held-out glosses (standard error of P@1 "
        "1.1 points, that of a difference less):",
        "",
        "| prototypes | P@1/3/5 | PSP@1/3/5 | R@10 |",
        "| --- | --- | --- | --- |",
    ]
    named = {"all labels": found[WHOLE]}
    named |= {name: found[name] for name in ("sampled", "clustered") if name in found}
    named |= {f"stored: {name}": scores["held out"] for name, scores in whole["stored"].items()}
    for name, scores in named.items():
        cells = [name, join_scores(scores, "P"), join_scores(scores, "PSP")]
        lines.append("| " + " | ".join([*cells, f"{scores['recall@10']:.2f}"]) + " |")
    return "\n".join([*lines, ""])


def _make_whole(rows: Sequence[dict]) -> str:
    """Returns the table of the whole data set of the case."""
    row = next((r for r in rows if r["data"] == CASE and r["documents"] > 8000 and r["mix"]), None)
    if row is None:
        return ""
    lines = [
        f"The same on all {row['documents']:,} glosses, {row['labels']:,} labels, {row['steps']:,} updates "
        "(`benchmarks/heads_whole.py`; every training document was learned, so the weights of mixtures are the means "
        "of those that the three seeds above chose):",
        "",
    ]
    shown = [
        (said, join_scores(scores, "P"), join_scores(scores, "PSP"), f"{scores['recall@10']:.2f}")
        for said, scores in _list_scores(row)
    ]
    return "\n".join(
        [*lines, *make_table(["scored by", "P@1/3/5", "PSP@1/3/5", "R@10"], shown), ""]
    )


def _make_sets(rows: Sequence[dict]) -> str:
    """Returns the table of other data sets."""
    chosen = [r for r in rows if r["data"] != CASE and r["test"]]
    if not chosen:
        return ""
    lines = [
        "Other data sets, 8,000 documents, the same encoder and as many updates for both (weights of mixtures chosen "
        "on 2,000 other training documents):",
        "",
        "| set | updates | fine-tuned with | scored by | P@1/3/5 | PSP@1/3/5 | R@10 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in chosen:
        tuned = {WHOLE: "prototypes", "XR-Linear": ""}.get(row["row"], row["row"])
        steps = "" if row["row"] == "XR-Linear" else f"{row['steps']:,}"
        for name, scores in _list_scores(row):
            cells = [row["data"], steps, tuned, name, join_scores(scores, "P")]
            cells += [join_scores(scores, "PSP"), f"{scores['recall@10']:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _list_scores(row: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields what a row was scored by, and the scores of test documents."""
    names = {"model": "XR-Linear on TF-IDF"} if row["row"] == "XR-Linear" else {}
    for name, shown in (MIXED | names).items():
        # XR-Transformer's ranker is its model.
        if name in row and not (name == "ranker" and "model" in row):
            yield shown, row[name]["test"]


def _make_unseen(rows: Sequence[dict]) -> str:
    chosen = [r for r in rows if r["unseen"]]
    if not chosen:
        return ""
    first = chosen[0]["unseen labels"]
    lines = [
        f"Labels without documents: a tenth of the labels of 8,000 glosses, known by their names (`head.unseen` as "
        f"told; {first['labels']:,} labels; {first['documents']:,} test glosses have one of them):",
        "",
        "| row | updates | among them P@1, R@10 | among all labels P@1, R@10 | all glosses, P@1/3/5 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in chosen:
        found = row["unseen labels"]
        pairs = [
            f"{found[part]['P@1']:.1f}, {found[part]['recall@10']:.1f}"
            for part in ("among them", "among all")
        ]
        steps = "0" if row["row"] == "frozen" else f"{row['steps']:,}"
        cells = [
            f"{row['row']}, unseen={row['settings']['head']['unseen']}",
            steps,
            *pairs,
            join_scores(row["head"]["test"], "P"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def make_static(folder: Path) -> str:
    """Returns the table of the encoder that is made from the training texts."""
    rows = read_rows(folder / "static.jsonl")
    lines = [
        "An encoder made from 8,000 glosses, without any download (`encoder.name=static`, 256 columns; settings chosen "
        "on 2,000 other training glosses; all test glosses; "
        f"{rows[0]['device']}; `benchmarks/results/{folder.name}/static.jsonl`):",
        "",
        "| model | P@1/3/5 | PSP@1/3/5 | R@10 | training, processor s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        scores = row["scores"]["test"]
        cells = [row["row"], join_scores(scores, "P"), join_scores(scores, "PSP")]
        cells += [f"{scores['recall@10']:.2f}", f"{row['train_cpu_s']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])

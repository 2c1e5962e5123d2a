"""Tables of what a model does beyond ranking: memory and re-ranker, probabilities and decisions, updates."""

from __future__ import annotations

from pathlib import Path

from rows import join_scores, make_table, read_rows


def make_answers(folder: Path) -> str:
    rows = read_rows(folder / "answers.jsonl")
    ranked, decided = [], []
    for row in rows:
        plain, anew, took = row["plain"], row["trees"], row["processor_ms_per_query"]
        ranked.append(
            [
                row["data"],
                row["copies"],
                anew["chosen"],
                " → ".join(join_scores(r, "P") for r in (plain, anew)),
                *(f"{plain[k]:.1f} → {anew[k]:.1f}" for k in ("recall@10", "PSP@5")),
                f"{took['search']:.2f} → {took['search trees']:.2f}",
                f"{row['bytes']['memory'] / 1e6:.0f}",
            ]
        )
        scores, sure, chosen = plain["scores"], plain["probabilities"], row["decisions"]
        cells = [f"{scores[k]:.1f} → {sure[k]:.1f}" for k in ("ECE@1", "ECE@5")]
        cells += [
            f"{chosen[f'fixed {name}'][name]:.1f} → {chosen[name.lower()][name]:.1f}"
            for name in ("micro-F1", "example-F1", "macro-F1")
        ]
        cells.append(f"{plain['PSP@1']:.1f} → {chosen['psp']['PSP@1']:.1f}")
        decided.append([row["data"], row["copies"], *cells])
    heads = [
        "set", "clusters per label", "chosen", "P@1/3/5", "R@10", "PSP@5", "ms per query", "memory MB",
    ]  # fmt: skip
    decided_heads = [
        "set", "clusters per label", "ECE@1", "ECE@5", "micro-F1", "example-F1", "macro-F1", "PSP@1, `decide=psp`",
    ]  # fmt: skip
    lines = [
        f"Memory and re-ranker, as `rerank.mode=auto` chose on held-out documents ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/answers.jsonl`; processor time per query, search included):",
        "",
        *make_table(heads, ranked),
        "",
        "Probabilities and decisions of the model alone: calibration error of scores and of probabilities, and F1 of "
        "the best fixed number of labels (chosen on the test documents) and of the rule that asks for it:",
        "",
        *make_table(decided_heads, decided),
    ]
    return "\n".join([*lines, ""])


def make_rivals(folder: Path) -> str:
    rows, ours = read_rows(folder / "rivals.jsonl"), read_rows(folder / "answers.jsonl")
    f1s = ("micro-F1", "example-F1")
    cells = []
    for row in rows:
        chosen = [f"{row[f'fixed {n}'][n]:.1f} (k = {row[f'fixed {n}']['k']})" for n in f1s]
        cells.append([row["data"], row["peer"], *cite_errors(row), *chosen])
    for row in ours:
        if row["copies"] > 1 or row["data"] not in {r["data"] for r in rows}:
            continue
        chosen = row["decisions"]
        fixed = [f"{chosen[f'fixed {n}'][n]:.1f} (k = {chosen[f'fixed {n}']['k']})" for n in f1s]
        rule = [f"{chosen[n.lower()][n]:.1f}" for n in f1s]
        for name, given, decided in (
            ("scores", "scores", fixed),
            ("probabilities", "probabilities", rule),
        ):
            cells.append(
                [row["data"], f"ours, {name}", *cite_errors(row["plain"][given]), *decided]
            )
    heads = ["set", "scores of", "ECE@1", "ECE@5", "Brier@5", *f1s]
    lines = [
        f"Beside rivals' scores taken for probabilities ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/rivals.jsonl`; defaults, on the matrices of `linear.py`; F1 of the best "
        "fixed number of labels, and of the rules that ask for it where there are probabilities):",
        "",
        *make_table(heads, sorted(cells, key=lambda c: c[0])),
    ]
    return "\n".join([*lines, ""])


def cite_errors(row: dict) -> list[str]:
    return [f"{row[name]:.1f}" for name in ("ECE@1", "ECE@5", "Brier@5")]


def make_calibration(folder: Path) -> str:
    rows = read_rows(folder / "calibration.jsonl")
    heads = [
        "set",
        "held out",
        "method",
        "ECE@1",
        "its floor",
        "ECE@5",
        "mean probability at rank 1",
        "P@1",
    ]
    names = ("ECE@1", "floor", "ECE@5", "confidence", "P@1")
    lines = [
        f"Probabilities by what they were fitted to ({rows[0]['device']}; "
        f"`benchmarks/results/{folder.name}/calibration.jsonl`; one cluster per label, all test documents; the floor "
        "is what a perfectly calibrated model would show on so many):",
        "",
        *make_table(
            heads,
            [
                [r["data"], r["held_out"], r["method"], *(f"{r[n]:.2f}" for n in names)]
                for r in rows
            ],
        ),
    ]
    return "\n".join([*lines, ""])


def make_update(folder: Path) -> str:
    rows = read_rows(folder / "update.jsonl")
    names = ("update", "same tree", "new tree")
    tenth, smaller = [], []
    for row in rows:
        done, seconds = row["done"], row["cpu_s"]
        cells = [row["data"], f"{done['added']:,}, {done['new_labels']:,}", share_solved(done)]
        cells += [" / ".join(f"{p:.2f}" for p in row["scores"][name]) for name in names]
        cells += [f"{row['same_first']:.2f} %", *(f"{seconds[name]:.1f}" for name in names)]
        tenth.append(cells)
        smaller += [
            [row["data"], f"{part['share']:.1%}", share_solved(part), f"{part['cpu_s']:.1f}"]
            for part in row["small"]
        ]
    heads = [
        "set", "new documents, labels", "nodes solved", "P@1/3/5 update", "same tree", "new tree", "first label",
        "s update", "same tree", "new tree",
    ]  # fmt: skip
    lines = [
        f"Updates ({rows[0]['device']}; `benchmarks/results/{folder.name}/update.jsonl`): a tenth more documents with "
        "further labels, beside a training from scratch on the same tree and one with a new tree; `first label` is the "
        "share of documents whose first label is that of the same tree; processor seconds (nothing is compiled):",
        "",
        *make_table(heads, tenth),
        "",
        "And a hundredth or a thousandth of the documents:",
        "",
        *make_table(["set", "share", "nodes solved", "s update"], smaller),
    ]
    return "\n".join([*lines, ""])


def share_solved(done: dict) -> str:
    return f"{done['solved']:,} of {done['nodes']:,}"

"""The sections of a report on confusions, single documents, the training, and the model itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xmc_jax.explain.picture import draw_html
from xmc_jax.report import drawings
from xmc_jax.report.confusion import find_confusions
from xmc_jax.report.findings import Findings, Subject, Worst
from xmc_jax.report.markup import Html, cut, element, fold, join, name, table
from xmc_jax.report.picture import Picture
from xmc_jax.report.sections import NO_DOCUMENTS, Section, figure, lead
from xmc_jax.run import group_curves, group_scores

_LEAST = 5
"""Confusions that are listed even if they happened once."""
_LETTERS = 600
_TRUE = 12
"""True labels of a document that are listed."""


def show_confusions(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section on labels that are confused with each other."""
    id, title = "confusions", "Labels confused with their siblings"
    if findings is None:
        return Section(id, title, absent=NO_DOCUMENTS)
    found = find_confusions(findings.ranked.ids, findings.hits, findings.truth, subject.tree)
    if not found.pairs:
        return Section(id, title, absent="no label was missed in favour of a sibling")
    if subject.tree is None:
        said = "The model has no tree of its own: all labels count as siblings."
    else:
        share = 100 * found.among_siblings / max(found.all, 1)
        said = (
            f"{share:.0f} % of the confusions are between labels that share a cluster of the tree."
        )

    repeated = [pair for i, pair in enumerate(found.pairs) if pair.times > 1 or i < _LEAST]

    def show(label: int) -> Html:
        used = element("span", f" {subject.label_counts[label]:,}", class_="dim")
        return join([name(subject.name_label(label)), used])

    rows = [[show(pair.true), show(pair.given), pair.times] for pair in repeated]
    head = ["missed", "returned instead", "documents"]
    note = (
        "A confusion is a true label that is not among the first results, as many as the document has labels (at most "
        "five), together with a wrong label that is. The number after a label is that of its training documents."
    )
    return Section(
        id, title, join([lead(said), table(head, rows), element("p", note, class_="dim")])
    )


def show_worst(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section on the worst documents, with reasons."""
    id, title = "worst", "Worst documents"
    if findings is None:
        return Section(id, title, absent=NO_DOCUMENTS)
    if not findings.worst:
        return Section(
            id, title, absent="every document has its labels ranked first, or none was asked for"
        )
    said = (
        "Documents with the fewest of their labels ranked first, starting with those where the model was surest of its "
        "first label."
    )
    note = [element("p", findings.worst_note, class_="dim")] if findings.worst_note else []
    cases = [_show_case(subject, worst) for worst in findings.worst]
    return Section(id, title, join([lead(said), *note, *cases]))


def _show_case(subject: Subject, worst: Worst) -> Html:
    text = cut(worst.text, _LETTERS) if worst.text else "(a vector)"
    true = [
        element(
            "li",
            name(subject.name_label(label)),
            element("span", f" rank {rank}" if rank else " not among the results", class_="dim"),
        )
        for label, rank in worst.true[:_TRUE]
    ]
    if len(worst.true) > _TRUE:
        true.append(element("li", f"{len(worst.true) - _TRUE:,} more", class_="dim"))
    given = [
        element(
            "li",
            element("span", "✓ " if is_right else "✗ ", class_="good" if is_right else "bad"),
            name(subject.name_label(label)),
            element("span", f" {value:.2f}", class_="dim"),
        )
        for label, value, is_right in worst.given
    ]
    why = Html()
    if worst.explanation is not None:
        inside = Html(draw_html(worst.explanation, text=False))
        why = fold("Why", element("div", inside, class_="why"), class_="reasons")
    return element(
        "div",
        element("blockquote", element("bdi", text, dir="auto")),
        element(
            "div",
            element("div", element("b", "true labels"), element("ul", *true)),
            element("div", element("b", "returned"), element("ul", *given)),
            class_="pair",
        ),
        why,
        class_="case",
    )


def show_training(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section on the course of the training, from the run's log."""
    id, title = "training", "Training"
    if not any(subject.logs.values()):
        return Section(
            id,
            title,
            absent="nothing was recorded, since the model was trained without a folder",
        )
    pictures: dict[str, Picture] = {}
    body: list[Any] = []
    lines = [line for some in subject.logs.values() for line in some]
    curves, held_out = group_curves(lines), group_scores(lines)
    if curves:
        pictures["loss"] = drawings.draw_curves(curves, "loss", "loss")
        pictures["rate"] = drawings.draw_curves(curves, "rate", "learning rate")
        if held_out:
            pictures["P@1"] = drawings.draw_curves(held_out, "P@1", "P@1 of held-out documents")
        n = sum(max(rows) for rows in curves.values())
        last = curves[max(curves)]
        body.append(
            lead(
                f"The encoder was fine-tuned in {n:,} updates; the last loss is {last[max(last)]['loss']:.3g}."
            )
        )
    seconds = _list_seconds(subject.logs)
    if seconds:
        pictures["seconds"] = drawings.draw_seconds(seconds)
        total = sum(value for _, value in seconds)
        body.append(lead(f"The classifiers of the levels took {total:,.1f} s."))
    body.append(element("div", *(figure(p, p.title) for p in pictures.values()), class_="figures"))
    body += _tell_rounds(subject.logs)
    return Section(id, title, join(body), pictures=pictures)


def _list_seconds(logs: Mapping[str, Sequence[dict[str, Any]]]) -> list[tuple[str, float]]:
    """Returns the seconds of each trained level, the last ones for a level that was trained twice."""
    found: dict[str, float] = {}
    for part, lines in logs.items():
        for line in lines:
            if line.get("stage") == "level" and "seconds" in line:
                found[
                    " ".join(filter(None, [part.replace("_", " "), f"level {line['level']}"]))
                ] = line["seconds"]
    return list(found.items())[:24]


def _tell_rounds(logs: Mapping[str, Sequence[dict[str, Any]]]) -> list[Html]:
    rows = [
        [
            f"{part or 'the tree'}, round {line['round']}",
            f"{100 * line['before']['reached']:.1f}",
            f"{100 * line['after']['reached']:.1f}",
            int(line["after"]["edges"]),
        ]
        for part, lines in logs.items()
        for line in lines
        if line.get("stage") == "disentangle" and "before" in line and "after" in line
    ]
    if not rows:
        return []
    head = [
        "disentangling",
        "labels in their documents' beams, % before",
        "after",
        "places of labels",
    ]
    return [element("h3", "Labels with several clusters"), table(head, rows)]


def show_model(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section with facts on the model."""
    rows = [
        [key, element("code", value) if "=" in value else value] for key, value in subject.facts
    ]
    return Section("model", "The model", table(["", ""], rows))

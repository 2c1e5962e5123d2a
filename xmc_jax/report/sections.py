"""The sections of a report: each states in a sentence what was found and shows it, or says why it is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xmc_jax.calibrate import OperatingCurve, count_operating
from xmc_jax.report import drawings
from xmc_jax.report.findings import Decision, Findings, Subject
from xmc_jax.report.intervals import find_intervals
from xmc_jax.report.markup import Html, element, embed, fold, join, name, table
from xmc_jax.report.picture import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Picture
from xmc_jax.report.reliability import bin_pairs
from xmc_jax.report.tree_map import lay_out

NO_DOCUMENTS = "no documents with known labels were given (--data D, or report(x, labels))"
_POINTS = 200
_PER_BIN = 50
"""Smallest number of documents per bin of a reliability diagram."""
_MISSED = 15


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        id, title: its anchor, and its heading.
        body: markup; empty if the section is absent.
        absent: why it is absent.
        pictures: pictures in the body, by name.
    """

    id: str
    title: str
    body: Html = field(default=Html())
    absent: str = ""
    pictures: Mapping[str, Picture] = field(default_factory=dict)

    @property
    def html(self) -> Html:
        """The section as markup."""
        head = element("h2", self.title)
        if self.absent:
            return element("section", head, element("p", self.absent), id=self.id, class_="absent")
        return element("section", head, self.body, id=self.id)


def figure(picture: Picture, caption: Any = "", id: str | None = None) -> Html:
    """Returns a picture with a caption."""
    told = [element("figcaption", caption)] if caption else []
    return element("figure", picture.html, *told, id=id)


def lead(*parts: Any) -> Html:
    """Returns the first sentence of a section."""
    return element("p", *parts, class_="lead")


def show_scores(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section on scores, with their intervals."""
    if findings is None:
        return Section("scores", "Scores", absent=NO_DOCUMENTS)
    report, intervals = findings.report, find_intervals(findings.scores)
    values = {key: float(report[key]) for key in findings.scores if key in report}
    picture = drawings.draw_scores(values, intervals)
    rows = [
        [key, f"{value:.2f}", "{:.2f} – {:.2f}".format(*intervals[key])]
        for key, value in values.items()
    ]
    others = [
        [key, f"{value:.2f}"]
        for key, value in report.items()
        if isinstance(value, float) and key not in values
    ]
    low, high = intervals["P@1"]
    body = [
        lead(
            f"The first label is right in {values['P@1']:.1f} % of the {report['n']:,} documents "
            f"(95 % interval {low:.1f} to {high:.1f}); the first ten hold {values['recall@10']:.1f} % of a "
            "document's labels."
        ),
        element(
            "div",
            figure(picture, "Bands are 95 % bootstrap intervals over documents."),
            element(
                "div",
                table(["score", "percent", "95 % interval"], rows),
                fold("Further scores", table(["score", "percent"], others)),
            ),
            class_="figures",
        ),
    ]
    if report.get("unknown_labels"):
        body.append(
            element(
                "p",
                f"{report['unknown_labels']:,} true labels that the model does not know were left out.",
            )
        )
    return Section("scores", "Scores", join(body), pictures={"scores": picture})


def show_frequencies(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section on label frequency: precision and recall, and the labels missed most often."""
    id, title = "frequency", "Rare and frequent labels"
    if findings is None:
        return Section(id, title, absent=NO_DOCUMENTS)
    rows = findings.report["by_frequency"]
    picture = drawings.draw_frequencies(rows)
    known = [row for row in rows if row["true"]]
    body = []
    if known:
        low, high = known[0], known[-1]
        body.append(
            lead(
                f"Labels with {_say_group(low)} are among the first five results in {low['recall@5']:.1f} % of their "
                f"documents; labels with {_say_group(high)}, in {high['recall@5']:.1f} %."
            )
        )
    heads = [str(key) for key in rows[0]]
    heads[0] = "in training"
    body.append(
        element(
            "div",
            figure(picture, "Labels are grouped by their number of training documents."),
            table(heads, [list(row.values()) for row in rows]),
            class_="figures",
        )
    )
    true, found, returned = _count_labels(findings)
    missed = true - found
    order = np.argsort(-missed, kind="stable")[:_MISSED]
    lines = [
        [
            name(subject.name_label(int(i))),
            int(subject.label_counts[i]),
            int(true[i]),
            int(found[i]),
            int(returned[i] - found[i]),
        ]
        for i in order
        if missed[i]
    ]
    if lines:
        head = ["label", "in training", "true", "found", "wrongly returned"]
        body += [element("h3", "Missed most often"), table(head, lines)]
        body.append(
            element(
                "p", "“Found” and “wrongly returned” refer to the first five results.", class_="dim"
            )
        )
    return Section(id, title, join(body), pictures={"frequency": picture})


def _say_group(row: Mapping[str, Any]) -> str:
    return f"{row['documents']} training document{'s' * (row['documents'] != '1')}"


def _count_labels(findings: Findings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns how often each label is true, found among the first five results, and returned there [L]."""
    ids, hits, used = findings.ranked.ids[:, :5], findings.hits[:, :5], findings.used[:, :5]
    n_labels = findings.truth.shape[1]
    true = np.bincount(findings.truth.indices, minlength=n_labels)
    found, returned = (np.bincount(ids[kept], minlength=n_labels) for kept in (hits & used, used))
    return true, found, returned


def show_reliability(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section with the reliability diagram."""
    id, title = "reliability", "Can the probabilities be trusted?"
    if findings is None:
        return Section(id, title, absent=NO_DOCUMENTS)
    calibrated = findings.ranked.probabilities is not None
    if not calibrated and not findings.are_shares:
        return Section(
            id,
            title,
            absent="the model has no probabilities, and its scores are not between 0 and 1",
        )
    values, used = findings.values, findings.used
    n_bins = int(np.clip(len(values) // _PER_BIN, 4, 15))
    bins = [
        bin_pairs(values[:, :k][used[:, :k]], findings.hits[:, :k][used[:, :k]], n_bins)
        for k in (1, 5)
    ]
    what = "probability" if calibrated else "score"
    pictures = {"reliability": drawings.draw_reliability(bins[0], bins[1], what)}
    at = used[:, 0]
    pictures["confidence"] = drawings.draw_confidence(values[at, 0], findings.hits[at, 0], what)
    report = findings.report
    errors = f"{report['ECE@1']:.1f} points at rank 1 and {report['ECE@5']:.1f} over ranks 1 to 5"
    if calibrated:
        assert subject.calibration is not None
        said = f"The probabilities are off by {errors} on average (expected calibration error)."
        note = (
            f"They were fitted ({subject.calibration.method}) to {subject.calibration.n_rows:,} documents that the "
            "model was not trained on."
        )
    else:
        said = f"The model is not calibrated: read as probabilities, its scores are off by {errors} on average."
        note = "xmc calibrate, or training with calibrate.share=0.1, gives it probabilities."
    body = [
        lead(said, " ", note),
        element(
            "div",
            figure(
                pictures["reliability"],
                f"On the dashed line, a {what} is the share of labels that are right; below it, the model is too "
                "sure. Each bin holds equally many labels; vertical lines are 95 % intervals.",
            ),
            figure(
                pictures["confidence"],
                "How sure the model is of its first label, and how often it is right.",
            ),
            class_="figures",
        ),
    ]
    return Section(id, title, join(body), pictures=pictures)


def show_decisions(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section on decisions: precision, recall and thresholds, with the points that decisions choose."""
    id, title = "decisions", "How many labels to return"
    maps = subject.calibration
    if findings is None and maps is None:
        return Section(id, title, absent=NO_DOCUMENTS)
    if findings is None:
        assert maps is not None
        curve, documents, decisions = maps.curve, maps.n_rows, []
        what, where = (
            "probability",
            f"the {maps.n_rows:,} documents that the probabilities were fitted to",
        )
    else:
        used, decisions = findings.used, list(findings.decisions)
        curve = count_operating(findings.values[used], findings.hits[used], findings.n_true)
        what = "score" if findings.ranked.probabilities is None else "probability"
        documents, where = len(findings.ranked), "these documents"
    if not len(curve.threshold):
        return Section(id, title, absent="no label was ranked")
    curve = _thin(curve)
    if maps is not None:
        marks = {"micro-f1": maps.curve.find_best_f1()}
        said = f"The threshold of the best micro-F1 is {marks['micro-f1']:.2f}, chosen on held-out documents. "
    else:
        marks = {"best micro-F1": curve.find_best_f1()}
        said = (
            f"A threshold of {marks['best micro-F1']:.3g} on the score gives the best micro-F1 on {where}; it was "
            "chosen on them, so that others will do a little worse. "
        )
    pictures = {
        "precision-recall": drawings.draw_precision_recall(curve, decisions),
        "thresholds": drawings.draw_thresholds(curve, marks, what),
    }
    body = [
        lead(said, _compare(decisions)),
        element(
            "div",
            figure(
                pictures["precision-recall"],
                f"All thresholds on {where}; points are decisions.",
            ),
            figure(
                pictures["thresholds"],
                f"Precision, recall and micro-F1 at each threshold on the {what}.",
                id="thresholds",
            ),
            class_="figures",
        ),
        _make_dial(curve, documents, what),
    ]
    if decisions:
        head = ["decision", "labels per document", "precision", "recall", "micro-F1", "example-F1"]
        body.append(table(head, [_show_decision(decision) for decision in decisions]))
    if findings is not None:
        body += [
            element("p", element("code", rule), ": ", why, class_="dim")
            for rule, why in findings.refused
        ]
    return Section(id, title, join(body), pictures=pictures)


def _show_decision(decision: Decision) -> list[Any]:
    said = join([element("code", decision.name), element("small", decision.note)])
    shares = decision.precision, decision.recall, decision.micro_f1, decision.example_f1
    return [said, f"{decision.per_document:.2f}", *shares]


def _compare(decisions: list[Decision]) -> str:
    fixed = [d for d in decisions if not d.chosen]
    chosen = [d for d in decisions if d.chosen]
    if not fixed or not chosen:
        return ""
    a, b = max(fixed, key=lambda d: d.micro_f1), max(chosen, key=lambda d: d.micro_f1)
    return (
        f"On these documents, {b.name} reaches a micro-F1 of {b.micro_f1:.1f} with {b.per_document:.1f} labels per "
        f"document; the best fixed number of labels ({a.name}) reaches {a.micro_f1:.1f}."
    )


def _thin(curve: OperatingCurve) -> OperatingCurve:
    """Returns a curve with as many points as can be seen."""
    at = np.unique(np.linspace(0, len(curve.threshold) - 1, _POINTS).astype(int))
    return OperatingCurve(curve.threshold[at], curve.returned[at], curve.right[at], curve.n_true)


def _make_dial(curve: OperatingCurve, documents: int, what: str) -> Html:
    low, high = 0.0, 1.0
    is_share = bool(curve.threshold[-1] >= 0 and curve.threshold[0] <= 1)
    if not is_share:
        low, high = float(curve.threshold[-1]), float(curve.threshold[0])
    facts = {
        "threshold": [round(float(t), 6) for t in curve.threshold],
        "returned": curve.returned.tolist(),
        "right": curve.right.tolist(),
        "true": curve.n_true,
        "documents": documents,
        "low": low,
        "high": high,
        "share": what == "probability",
        "left": LEFT,
        "right_edge": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
    }
    dial = Html('<input id="dial" type="range" min="0" max="100" value="50">')
    told = element("output", id="dial-says", for_="dial")
    label = element("label", f"Threshold on the {what} ", for_="dial")
    return join([element("div", label, dial, told, class_="dial"), embed("curve", facts)])


def show_tree(subject: Subject, findings: Findings | None) -> Section:
    """Returns the section with the map of the label tree."""
    id, title = "tree", "The label tree"
    if subject.tree is None:
        return Section(id, title, absent=subject.tree_note)
    n_labels = subject.tree.n_labels
    nothing = np.zeros(n_labels, np.int64)
    true, found = (nothing, nothing) if findings is None else _count_labels(findings)[:2]
    tiles = lay_out(subject.tree, subject.label_counts, true, found, subject.name_label)
    picture = drawings.draw_map(tiles)
    sizes = " → ".join(f"{size:,}" for size in subject.tree.level_sizes)
    what = (
        "The colour shows how many of the true labels below are found among the first five results."
        if findings is not None
        else "Without documents whose labels are known, the tiles have no colour."
    )
    note = f" {subject.tree_note}" if subject.tree_note else ""
    key = element(
        "div",
        "nothing found", element("i"), "all found", element("i", class_="none"), "none in these documents",
        class_="key",
    )  # fmt: skip
    body = [
        lead(f"{n_labels:,} labels in a tree of {sizes} nodes.{note} The area of a tile is proportional "
            f"to its uses in training. {what}"),
        element("p", "Click a tile to zoom in, and the path above the map to zoom out.", class_="dim"),
        element("div", class_="path"),
        element("div", figure(picture), class_="map"),
        element("p", class_="about"),
        key if findings is not None else "",
        embed("tree-tiles", tiles.to_json()),
        embed("tree-scale", drawings._SCALE),
    ]  # fmt: skip
    return Section(id, title, join(body), pictures={"tree": picture})

"""A report as one self-contained page, without network or other files."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from xmc_jax.files import check_target, write_bytes
from xmc_jax.report.cases import show_confusions, show_model, show_training, show_worst
from xmc_jax.report.findings import Findings, Subject
from xmc_jax.report.markup import Html, clean, element, join
from xmc_jax.report.picture import Picture
from xmc_jax.report.sections import (
    Section,
    show_decisions,
    show_frequencies,
    show_reliability,
    show_scores,
    show_tree,
)

SECTIONS = (
    show_scores,
    show_frequencies,
    show_reliability,
    show_decisions,
    show_tree,
    show_confusions,
    show_worst,
    show_training,
    show_model,
)
"""Makers of the sections of a page, in order; each takes a subject and findings (None without documents)."""
_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Page:
    """A report, which notebooks display.

    Attributes:
        title: title of the page.
        html: the whole page.
        pictures: pictures by name (`scores`, `frequency`, `reliability`, `precision-recall`, `thresholds`, `tree`,
            `loss`, `rate`, `seconds`); only those that the model or the documents allow.
        absent: title of each missing section → why it is missing.
    """

    title: str
    html: str
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.html) / 1e3:,.0f} kB, pictures: {', '.join(self.pictures)})"

    def _repr_html_(self) -> str:
        # A frame keeps its styles and script apart from those of a notebook.
        return (
            f'<iframe sandbox="allow-scripts allow-modals" title="{escape(self.title)}" srcdoc="{escape(self.html)}"'
            ' style="width:100%;height:48rem;border:1px solid #8888;border-radius:8px"></iframe>'
        )

    def group_absent(self) -> dict[str, list[str]]:
        """Returns reason → titles of the sections that are missing for it."""
        groups: dict[str, list[str]] = {}
        for title, why in self.absent.items():
            groups.setdefault(why, []).append(title)
        return groups

    def save(self, path: str | os.PathLike) -> None:
        """Writes the page atomically; an existing file is replaced.

        Args:
            path: path of a file in an existing folder.

        Raises:
            InputError: no file can be written there.
            RunError: writing failed; an existing file is untouched.
        """
        check_target(path)
        write_bytes(path, self.html.encode("utf-8"))


def make_page(subject: Subject, findings: Findings | None = None) -> Page:
    """Returns the report on a model.

    Args:
        subject: the model.
        findings: its predictions for documents with known labels; without them, the sections that need them say so.
    """
    sections = [show(subject, findings) for show in SECTIONS]
    pictures = {key: picture for section in sections for key, picture in section.pictures.items()}
    absent = {section.title: section.absent for section in sections if section.absent}
    return Page(subject.title, clean(_write_page(subject, findings, sections)), pictures, absent)


def _write_page(subject: Subject, findings: Findings | None, sections: list[Section]) -> str:
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Only our own script runs and nothing is fetched, whatever names labels have.
    rules = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    links = [element("a", s.id.capitalize(), href=f"#{s.id}") for s in sections if not s.absent]
    said = f"{len(subject.label_counts):,} labels, {subject.n_train:,} training documents"
    if findings is not None:
        said += f"; {findings.data}"
    head = element(
        "header", element("h1", subject.title), element("p", said), _show_tiles(findings)
    )
    shown = [s.html for s in sections if not s.absent] + [s.html for s in sections if s.absent]
    body = join(
        [
            head,
            element("nav", element("div", *links)),
            element("main", *shown),
            element(
                "footer",
                "Made by xmc_jax. This file is self-contained and loads nothing from the network.",
            ),
        ]
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(rules)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(subject.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _show_tiles(findings: Findings | None) -> Html:
    """Returns the numbers that a reader looks for first."""
    if findings is None:
        return Html()
    report = findings.report
    shown = [
        (f"{report['n']:,}", "documents"),
        (f"{report['P@1']:.1f} %", "first label right (P@1)"),
    ]
    shown.append((f"{report['P@5']:.1f} %", "of the first five right (P@5)"))
    shown.append((f"{report['recall@10']:.1f} %", "of the labels in the first ten"))
    if findings.ranked.probabilities is not None:
        shown.append((f"{report['ECE@1']:.1f}", "points off (ECE@1)"))
    if findings.decisions:
        best = max(findings.decisions, key=lambda d: d.micro_f1)
        how = "decided by" if best.chosen else "of the"
        shown.append((f"{best.micro_f1:.1f}", f"micro-F1, {how} {best.name}"))
    tiles = (element("li", element("b", value), element("span", what)) for value, what in shown)
    return element("ul", *tiles, class_="tiles")

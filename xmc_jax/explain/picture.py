"""Explanations for reading: lines for a terminal, a table for a notebook."""

from __future__ import annotations

from html import escape
from math import exp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmc_jax.explain.explanation import Explanation, Reason, Step, Term

_BAR = 12
_SHOWN = 4
"""Number of terms per line."""


def draw_text(explanation: Explanation) -> str:
    """Returns an explanation as lines for reading."""
    lines = []
    if explanation.text:
        lines += [f"“{_shorten(explanation.text, 100)}”", ""]
    for reason in explanation.reasons:
        lines += [_say_head(reason), *_draw_paths(reason), ""]
    for neighbour in explanation.neighbours:
        labels = _shorten(", ".join(neighbour.labels), 80)
        lines.append(
            f"training document {neighbour.document:,}, cosine {neighbour.cosine:.2f}: {labels}"
        )
    return "\n".join(lines).rstrip()


def _say_head(reason: Reason) -> str:
    probable = "" if reason.probability is None else f", probability {reason.probability:.2f}"
    return f"{reason.name}: {reason.verdict}; score {reason.score:.3g}{probable}"


def _draw_paths(reason: Reason) -> list[str]:
    lines = []
    several = len({path.tree for path in reason.paths}) > 1
    for path in reason.paths:
        where = f"tree {path.tree + 1}, " if several else ""
        if len(reason.paths) > 1:
            lines.append(f"  {where}edge {path.steps[-1].node:,}: score {path.score:.3g}")
        for step in path.steps:
            bar = "█" * round(_BAR * _share(step.own)) if 0 <= step.own <= 1 else ""
            lines.append(
                f"  level {step.level}  node {step.node:>7,}  margin {step.margin:+6.2f}  score {step.own:6.3f} "
                f"{bar:<{_BAR}}  {_say_terms(step)}{_say_place(step)}"
            )
    if reason.evidence:
        lines.append(f"  memory   {_say_evidence(reason)}")
    return lines


def _say_evidence(reason: Reason) -> str:
    """Returns the readable part of a re-ranker's evidence."""
    shown = ("cosine of the nearest with the label", "share of the label among neighbours")
    votes = ("log vote of the nearest", "log vote of all neighbours")
    said = [f"{name[4:]} {max(0.0, exp(reason.evidence[name])):.2f}" for name in votes]
    return ", ".join([*said, *(f"{name} {reason.evidence[name]:.2f}" for name in shown)])


def _say_place(step: Step) -> str:
    if step.holds:
        return f"{_say_fate(step)}  {{{_shorten(', '.join(step.holds), 60)}}}"
    return _say_fate(step)


def _say_fate(step: Step) -> str:
    if step.rank == 0:
        return "  [not looked at: its parent was dropped]"
    if step.kept:
        return ""
    return f"  [dropped: rank {step.rank}, {step.beam} kept]"


def _say_terms(step: Step) -> str:
    shown = [f"{term.name} {term.gave:+.2f}" for term in step.terms[:_SHOWN]]
    rest = step.others + sum(term.gave for term in step.terms[_SHOWN:])
    extra = {"others": rest, "vector": step.vector, "bias": step.bias}
    return "  ".join([*shown, *(f"({name} {v:+.2f})" for name, v in extra.items() if v)])


def draw_html(explanation: Explanation, *, text: bool = True) -> str:
    """Returns an explanation as HTML that needs nothing else.

    Args:
        explanation: what to show.
        text: whether to show the document above it.
    """
    parts = ['<div style="font-family:sans-serif;max-width:60em">']
    if text and explanation.text:
        parts.append(f"<p><em>{escape(_shorten(explanation.text, 300))}</em></p>")
    for reason in explanation.reasons:
        head = escape(_say_head(reason))
        parts.append(f"<details open><summary><b>{head}</b></summary>")
        parts.append(f"<p>{_draw_words(reason.added)}{_draw_words(reason.took)}</p>")
        parts.append(_draw_table(reason))
        if reason.evidence:
            parts.append(f"<p>{escape(_say_evidence(reason))}</p>")
        parts.append("</details>")
    if explanation.neighbours:
        items = "".join(
            f"<li>{n.cosine:.2f}: training document {n.document:,} ({escape(', '.join(n.labels))})</li>"
            for n in explanation.neighbours
        )
        parts.append(f"<p>Nearest training documents</p><ul>{items}</ul>")
    return "".join([*parts, "</div>"])


def _draw_words(terms: tuple[Term, ...]) -> str:
    """Returns words whose background is darker the larger their contribution; red for negative ones."""
    most = max((abs(term.gave) for term in terms), default=1.0) or 1.0
    spans = []
    for term in terms:
        shade = 0.15 + 0.6 * abs(term.gave) / most
        color = f"rgba(0,140,60,{shade:.2f})" if term.gave > 0 else f"rgba(200,40,40,{shade:.2f})"
        spans.append(
            f'<span style="background:{color};padding:1px 4px;margin:1px;border-radius:3px" '
            f'title="{term.gave:+.3f}">{escape(term.name)}</span>'
        )
    return " ".join(spans)


def _draw_table(reason: Reason) -> str:
    rows = []
    for path in reason.paths:
        for step in path.steps:
            width = round(100 * _share(step.own)) if 0 <= step.own <= 1 else 0
            bar = f'<div style="background:#38c;height:.8em;width:{width}px"></div>'
            said = escape(_say_terms(step) + _say_place(step))
            rows.append(
                f"<tr><td>{path.tree + 1}</td><td>{step.level}</td><td>{step.node:,}</td><td>{step.margin:+.2f}</td>"
                f'<td>{step.own:.3f}</td><td style="width:100px">{bar}</td><td>{said}</td></tr>'
            )
    names = ("tree", "level", "node", "margin", "score", "", "contributions")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _shorten(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"

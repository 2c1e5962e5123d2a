"""Pictures as SVG: axes, lines, points, bars, tiles.

Colours are names that a page may set for light and dark (`--a`, `--ink`, ...); a picture on its own has those of a
light page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from xmc_jax.report.markup import Html, clean

WIDTH, HEIGHT = 400, 290
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 26, 46
_SHOWN = 520
"""Width of a picture on its own; a page sets another."""
COLORS = {
    "a": "#0969b5",
    "b": "#c9510c",
    "c": "#0a7f5a",
    "d": "#8250b4",
    "ink": "#1f2328",
    "dim": "#59636e",
    "grid": "#d8dee4",
    "paper": "#ffffff",
}
"""Name of a colour → its default."""


def paint(color: str) -> str:
    """Returns the colour with a name; other colours are returned as they are."""
    return f"var(--{color},{COLORS[color]})" if color in COLORS else color


@dataclass(frozen=True)
class Picture:
    """A picture: `svg` is one element, which notebooks show and a page holds."""

    svg: str
    title: str

    def __repr__(self) -> str:
        return f"Picture({self.title!r})"

    def _repr_svg_(self) -> str:
        return self.svg

    @property
    def html(self) -> Html:
        """The picture as a part of a page."""
        return Html(self.svg)


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`.

    Attributes:
        low, high: its ends.
        title: what is measured.
        say: formats a tick.
        ticks: values of the ticks; None for round numbers.
    """

    low: float
    high: float
    title: str = ""
    say: Callable[[float], str] = "{:g}".format
    ticks: Sequence[float] | None = None

    def place(self, value: float) -> float:
        """Returns the place of a value, 0 to 1 between the ends."""
        return (value - self.low) / ((self.high - self.low) or 1.0)

    def list_ticks(self) -> list[float]:
        """Returns the values of the ticks."""
        if self.ticks is not None:
            return list(self.ticks)
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(rough: float) -> float:
    """Returns 1, 2 or 5 times a power of ten, near a rough step."""
    if not rough > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return power * min((1, 2, 5, 10), key=lambda m: abs(math.log(m * power / rough)))


def percent(value: float) -> str:
    """Returns a value from 0 to 1 as a tick in percent."""
    return f"{100 * value:.0f} %"


class Chart:
    """A chart that is filled from back to front.

    Args:
        title: a few words, also for readers who cannot see the chart.
        x, y: its scales.
        height: height of the picture; the width is the same for all.
    """

    def __init__(
        self, title: str, x: Axis, y: Axis, height: int = HEIGHT, left: int = LEFT
    ) -> None:
        self.title, self.x, self.y = title, x, y
        self._height, self._left = height, left
        self._parts: list[str] = []
        self._legend: list[tuple[str, str]] = []
        self._draw_axes()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Returns the place of a point in the picture."""
        across, down = WIDTH - self._left - RIGHT, self._height - TOP - BOTTOM
        return self._left + across * self.x.place(x), TOP + down * (1 - self.y.place(y))

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        color: str = "a",
        *,
        label: str = "",
        dashed: bool = False,
    ) -> None:
        """Draws a line through points."""
        points = " ".join(
            "{:.1f},{:.1f}".format(*self.at(x, y)) for x, y in zip(xs, ys, strict=True)
        )
        style = ' stroke-dasharray="4 4"' if dashed else ""
        self.add(
            f'<polyline points="{points}" fill="none" stroke="{paint(color)}" stroke-width="2"'
            f' stroke-linejoin="round"{style}/>'
        )
        self._name(label, color)

    def point(
        self,
        x: float,
        y: float,
        color: str = "a",
        *,
        hint: str = "",
        label: str = "",
        size: float = 4,
    ) -> None:
        """Draws a point with a label beside it, and a hint that shows when it is pointed at."""
        left, top = self.at(x, y)
        self.add(
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="{size:.1f}" fill="{paint(color)}"'
            f' stroke="{paint("paper")}">{_hint(hint)}</circle>'
        )
        if label:
            is_far = left > WIDTH - 110
            move, anchor = (-7, "end") if is_far else (7, "start")
            self.write(label, left + move, top - 5, anchor=anchor, color="ink")

    def whisker(self, x: float, low: float, high: float, color: str = "a") -> None:
        """Draws a vertical interval."""
        self.add(self._stroke(self.at(x, low), self.at(x, high), color, 1.5))

    def span(self, y: float, low: float, high: float, color: str = "a") -> None:
        """Draws a horizontal interval."""
        self.add(self._stroke(self.at(low, y), self.at(high, y), color, 7, 0.45))

    def bar(
        self,
        left: float,
        right: float,
        top: float,
        color: str = "a",
        *,
        hint: str = "",
        label: str = "",
    ) -> None:
        """Draws a bar from 0 up to `top`."""
        x, y = self.at(left, top)
        far, ground = self.at(right, 0.0)
        self.add(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(far - x, 0.5):.1f}" height="{max(ground - y, 0.0):.1f}"'
            f' fill="{paint(color)}">{_hint(hint)}</rect>'
        )
        self._name(label, color)

    def write(
        self, text: str, left: float, top: float, *, anchor: str = "middle", color: str = "dim"
    ) -> None:
        """Writes text into the picture."""
        self.add(
            f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}" fill="{paint(color)}">{escape(text)}</text>'
        )

    def add(self, markup: str) -> None:
        """Adds an element."""
        self._parts.append(markup)

    def finish(self) -> Picture:
        """Returns the picture."""
        legend, left = [], float(self._left)
        for label, color in self._legend:
            legend.append(
                f'<rect x="{left:.0f}" y="6" width="10" height="10" rx="2" fill="{paint(color)}"/>'
            )
            legend.append(
                f'<text x="{left + 14:.0f}" y="15" fill="{paint("ink")}">{escape(label)}</text>'
            )
            left += 26 + 7 * len(label)
        return frame(self.title, self._height, "".join([*self._parts, *legend]))

    def _name(self, label: str, color: str) -> None:
        if label and (label, color) not in self._legend:
            self._legend.append((label, color))

    def _stroke(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        color: str,
        width: float,
        opacity: float = 1.0,
    ) -> str:
        faint = f' opacity="{opacity}"' if opacity < 1 else ""
        return (
            f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
            f' stroke="{paint(color)}" stroke-width="{width}"{faint}/>'
        )

    def _draw_axes(self) -> None:
        low_x, low_y = self.x.low, self.y.low
        for value in self.x.list_ticks():
            x, y = self.at(value, low_y)
            self.add(self._stroke(self.at(value, low_y), self.at(value, self.y.high), "grid", 1))
            self.write(self.x.say(value), x, y + 16)
        for value in self.y.list_ticks():
            x, y = self.at(low_x, value)
            self.add(self._stroke(self.at(low_x, value), self.at(self.x.high, value), "grid", 1))
            self.write(self.y.say(value), x - 6, y + 4, anchor="end")
        middle = (self._left + WIDTH - RIGHT) / 2
        self.write(self.x.title, middle, self._height - 8)
        if self.y.title:
            down = (TOP + self._height - BOTTOM) / 2
            self.add(
                f'<text transform="translate(13 {down:.0f}) rotate(-90)" text-anchor="middle"'
                f' fill="{paint("dim")}">{escape(self.y.title)}</text>'
            )


def frame(title: str, height: int, body: str, width: int = WIDTH) -> Picture:
    """Returns a picture with this body."""
    return Picture(
        clean(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{_SHOWN}"'
            f' height="{_SHOWN * height / width:.0f}" role="img"'
            f' aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">'
            f'<rect width="{width}" height="{height}" fill="{paint("paper")}"/>{body}</svg>'
        ),
        title,
    )


def _hint(text: Any) -> str:
    return f"<title>{escape(str(text))}</title>" if text else ""

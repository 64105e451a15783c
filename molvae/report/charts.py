"""Small charts as SVG text: axes, lines and points, coloured by CSS classes so that dark and light themes apply.

A chart of 1,000 points is about 60 kB; an inlined plotting library would be 4.8 MB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

VIRIDIS = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
MAX_DOTS = 4_000  # a browser stays quick up to about here
LEFT, RIGHT, TOP, BOTTOM = 58, 24, 12, 44  # margins in SVG units


class Chart:
    """One pair of axes; add lines and points, then ask for `svg()`.

    Args:
        x_range: lowest and highest x; widened where both are the same.
        y_range: lowest and highest y, likewise.
        x_label, y_label: what the axes show, with units.
        width, height: size in SVG units; the picture scales with the page.
    """

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        x_label: str,
        y_label: str,
        width: int = 760,
        height: int = 320,
    ) -> None:
        self._width, self._height = width, height
        self._x_range, self._y_range = _widened(x_range), _widened(y_range)
        self._marks: list[str] = []
        self._axes = [*self._grid(), self._labels(x_label, y_label)]

    def line(self, x: Iterable[float], y: Iterable[float], css_class: str) -> None:
        """A line through the points whose y is finite."""
        corners = [f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in zip(x, y, strict=True) if math.isfinite(b)]
        if corners:
            self._marks.append(f'<polyline class="line {css_class}" points="{" ".join(_thinned(corners))}"/>')

    def points(
        self, x: Iterable[float], y: Iterable[float], rows: Iterable[int], styles: Iterable[str], radius: float = 2.6
    ) -> None:
        """Dots; `rows` are indices into the page's table of molecules, `styles` CSS classes or #rrggbb colours."""
        for a, b, row, style in zip(x, y, rows, styles, strict=True):
            paint = f'fill="{style}"' if style.startswith("#") else f'class="dot {style}"'
            place = f'cx="{self._x(a):.1f}" cy="{self._y(b):.1f}" r="{radius}"'
            self._marks.append(f'<circle {place} {paint} data-row="{row}"/>')

    def svg(self, attributes: str = "") -> str:
        """The finished picture; `attributes` of its element are for one that is placed within another picture."""
        head = f'<svg class="chart" {attributes} viewBox="0 0 {self._width} {self._height}" role="img">'
        return head + "".join(self._axes + self._marks) + "</svg>"

    def _x(self, value: float) -> float:
        low, high = self._x_range
        return LEFT + (value - low) / (high - low) * (self._width - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        low, high = self._y_range
        return self._height - BOTTOM - (value - low) / (high - low) * (self._height - TOP - BOTTOM)

    def _grid(self) -> list[str]:
        bottom, parts = self._height - BOTTOM, []
        for tick in ticks(*self._x_range):
            x = self._x(tick)
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:,.6g}</text>')
        for tick in ticks(*self._y_range):
            y = self._y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{self._width - RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,.6g}</text>')
        return parts

    def _labels(self, x_label: str, y_label: str) -> str:
        middle_x, middle_y = (LEFT + self._width - RIGHT) / 2, (TOP + self._height - BOTTOM) / 2
        return (
            f'<text class="label" x="{middle_x}" y="{self._height - 8}" text-anchor="middle">{escape(x_label)}</text>'
            f'<text class="label" transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>"
        )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between `low` and `high`, steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def colour(fraction: float) -> str:
    """#rrggbb of the viridis map at 0 (dark) to 1 (bright)."""
    position = min(max(fraction, 0.0), 1.0) * (len(VIRIDIS) - 1)
    index = min(int(position), len(VIRIDIS) - 2)
    low, high = (tuple(int(v[i : i + 2], 16) for i in (1, 3, 5)) for v in VIRIDIS[index : index + 2])
    mixed = (round(a + (b - a) * (position - index)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits with a positive distance: a constant series is drawn in the middle."""
    low, high = limits
    if high - low > 1e-12 * max(1.0, abs(low), abs(high)):
        return low, high
    pad = 0.5 * max(1.0, abs(low))
    return low - pad, high + pad


def _thinned(corners: list[str], at_most: int = 2000) -> list[str]:
    """At most about `at_most` corners, the last one always among them."""
    stride = -(-len(corners) // at_most)
    return [*corners[:-1:stride], corners[-1]]

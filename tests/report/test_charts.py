"""Charts: round ticks, points where they belong, colours at the ends of the map."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molvae.report.charts import VIRIDIS, Chart, colour, ticks
from molvae.report.drawing import molecule_svg


def test_ticks_are_round() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 1000) == [0, 200, 400, 600, 800, 1000]
    assert ticks(-0.013, 0.027) == [-0.01, 0, 0.01, 0.02]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 8
    slack = 1e-6 * width + 1e-9 * abs(low)
    assert all(low - slack <= tick <= low + width + slack for tick in found)


def test_points_and_lines_land_in_the_frame() -> None:
    chart = Chart((0, 10), (0, 1), "x & more", "y", width=200, height=100)
    chart.points([0, 10], [0, 1], [0, 1], ["c0", "#ff0000"])
    chart.line([0, 5, 10], [0, math.nan, 1], "best")
    root = ElementTree.fromstring(chart.svg())
    (first, second) = root.findall("circle")
    assert float(first.attrib["cx"]) < float(second.attrib["cx"]) <= 200
    assert float(first.attrib["cy"]) > float(second.attrib["cy"]) >= 0
    assert len(root.find("polyline").attrib["points"].split()) == 2  # type: ignore[union-attr]


def test_long_lines_are_thinned_and_keep_their_end() -> None:
    chart = Chart((0, 9_999), (0, 1), "x", "y")
    chart.line(range(10_000), [i / 9_999 for i in range(10_000)], "best")
    corners = re.search(r'points="([^"]*)"', chart.svg()).group(1).split()  # type: ignore[union-attr]
    assert len(corners) <= 2_001
    assert corners[-1] == "736.0,12.0"


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0, VIRIDIS[0]), (1, VIRIDIS[-1]), (-1, VIRIDIS[0]), (0.2, VIRIDIS[1])]
)
def test_colours(fraction: float, expected: str) -> None:
    assert colour(fraction) == expected


def test_molecules_are_drawn_small_and_valid() -> None:
    svg = molecule_svg("CN1CCC[C@H]1c1cccnc1")
    assert len(svg) < 8_000
    root = ElementTree.fromstring(svg)
    assert root.attrib["viewBox"] == "0 0 260 190"
    assert len(root) > 10
    assert len(ElementTree.fromstring(molecule_svg("not a molecule"))) == 0

"""Figure 2 as a picture: Pass@k of every model, one panel a benchmark, drawn by Vega-Lite without a browser."""

from typing import Any

import polars as pl
import vl_convert

from vr.report.plots_page import VEGA_LITE


def pass_at_k_svg(points: pl.DataFrame) -> str:
    """The chart as SVG.

    Args:
        points: benchmark, model, k, pass_at_k, as `figures.pass_at_k_points` gives them.
    """
    return str(vl_convert.vegalite_to_svg(_chart(points), vl_version=VEGA_LITE))


def _chart(points: pl.DataFrame) -> dict[str, Any]:
    return {
        "data": {"values": points.to_dicts()},
        "background": "white",  # a page in dark colours shows it as a card
        "width": 320,
        "height": 220,
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {
                "field": "k",
                "type": "quantitative",
                "scale": {"type": "log", "base": 2},
                "axis": {"values": sorted(set(points["k"]))},
            },
            "y": {"field": "pass_at_k", "type": "quantitative", "title": "Pass@k", "axis": {"format": ".0%"}},
            "color": {"field": "model", "type": "nominal", "sort": None, "title": "model"},
            "column": {"field": "benchmark", "type": "nominal", "sort": None, "title": None},
        },
    }

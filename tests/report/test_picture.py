"""The picture in the README: every model's curve, no script, nothing from a network."""

import polars as pl

from vr.report.picture import pass_at_k_svg


def test_every_model_and_benchmark_is_named_in_a_picture_that_loads_nothing() -> None:
    points = pl.DataFrame(
        {
            "benchmark": ["one", "one", "two", "two"] * 2,
            "model": ["initial"] * 4 + ["final"] * 4,
            "k": [1, 8] * 4,
            "pass_at_k": [0.1, 0.5, 0.2, 0.6, 0.3, 0.7, 0.4, 0.8],
        }
    )
    svg = pass_at_k_svg(points)
    assert svg.startswith("<svg")
    assert all(name in svg for name in (">initial<", ">final<", ">one<", ">two<"))
    assert "<script" not in svg and "href" not in svg.replace("http://www.w3.org/1999/xlink", "")

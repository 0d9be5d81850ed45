"""The page of `dvc plots show`, with the drawing library in it, so that charts appear without a network.

DVC's own page loads Vega from a content delivery network. The page written here carries Vega, Vega-Lite and
Vega-Embed instead, from the package vl-convert-python (0.9 MB of JavaScript, so the page is made and not committed).
`.dvc/config` names it as `plots.html_template`. DVC fills in the charts; this module knows nothing of them.

Run as `python -m vr.report.plots_page FILE`.
"""

import argparse
from pathlib import Path

import vl_convert

from vr.tables.files import atomic_file

VEGA_LITE = "5.21"
"""Of the major version that the chart templates of DVC and of this project are written for (their `$schema`)."""

# DVC replaces {refresh_tag} and {plot_divs}. Its third placeholder, {scripts}, would bring in the links to the network.
_PAGE = """<!DOCTYPE html>
<html>
<head>
  <meta charset="utf-8">
  <title>Plots</title>
  {refresh_tag}
  <script>(function () {%s})();</script>
  <style>
    body {font-family: sans-serif}
    table {border-spacing: 15px}
  </style>
</head>
<body>
  {plot_divs}
</body>
</html>
"""


def page() -> str:
    """The page with its scripts, before DVC fills in the charts.

    Raises:
        ValueError: the JavaScript would end the script element, or holds a placeholder of DVC's.
    """
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
    for text in ("</script", "<!--", "{plot_divs}", "{refresh_tag}", "{scripts}"):
        if text in bundle:
            raise ValueError(f"vl-convert-python: its JavaScript contains {text!r} and cannot stand in a page")
    return _PAGE.replace("%s", bundle)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vr.report.plots_page", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="where the page is written")
    file = parser.parse_args().file
    with atomic_file(file) as part:
        part.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The page of `dvc plots show` on a tiny project with this project's .dvc/config: complete without a network."""

import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from html.parser import HTMLParser
from pathlib import Path

import pytest
from dvc_render.vega_templates import TEMPLATES

from vr.report import plots_page

ROOT = Path(__file__).parent.parent
MARKS = ["line mark", "bar", "point"]  # of the three charts, as Vega names them for screen readers
DVC_YAML = """
plots:
  - loss: {x: step, y: {curve.csv: loss}}
  - bars: {template: histogram, x: step, y: {curve.csv: loss}}
  - dots: {template: scatter, x: step, y: {curve.csv: loss}}
"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
    *("--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"),
]


class Sources(HTMLParser):
    """Collects what a page would load: addresses of scripts, style sheets and pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag != "a":  # a link is followed by a person only
            self.found += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page that `dvc plots show` writes for three charts of one table."""
    project = tmp_path_factory.mktemp("project")
    dvc = Path(sys.executable).with_name("dvc")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run([dvc, "init", "--quiet"], cwd=project, check=True)
    shutil.copy(ROOT / ".dvc" / "config", project / ".dvc")
    shutil.copytree(ROOT / ".dvc" / "plots", project / ".dvc" / "plots")
    (project / "curve.csv").write_text("step,loss\n1,3.0\n2,2.0\n3,1.5\n")
    (project / "dvc.yaml").write_text(DVC_YAML)
    template = project / ".dvc" / template_name()
    subprocess.run([sys.executable, "-m", "vr.report.plots_page", template], cwd=ROOT, check=True)
    subprocess.run([dvc, "plots", "show", "--out", "charts"], cwd=project, check=True, capture_output=True)
    return project / "charts" / "index.html"


def template_name() -> str:
    config = ConfigParser()
    config.read_string(re.sub(r"(?m)^\s+", "", (ROOT / ".dvc" / "config").read_text()))
    return config["plots"]["html_template"]


@pytest.mark.slow
def test_the_page_loads_nothing_from_elsewhere(page):
    assert Sources(page.read_text()).found == []


@pytest.mark.slow
def test_dvcs_own_page_would_load_its_scripts_from_the_network():
    """If this fails, DVC has changed and the page of this project may no longer be needed."""
    from dvc_render import VegaRenderer

    assert all(source.startswith("https://") for source in Sources(VegaRenderer.SCRIPTS).found)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_without_a_network_draws_every_chart_and_reports_no_error(page, tmp_path):
    run = subprocess.run(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path}", f"file://{page}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    _, *charts = re.split(r'<svg [^>]*class="marks"', run.stdout)
    named = [f'aria-roledescription="{mark}"' for mark in MARKS]
    assert [mark in chart for mark, chart in zip(named, charts, strict=True)] == [True, True, True]
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert [line for line in console if re.search(r"Uncaught|Error|ERR_|Failed", line)] == []


def test_vega_lite_has_the_major_version_that_the_chart_templates_are_written_for():
    contents = [json.loads(file.read_text()) for file in (ROOT / ".dvc" / "plots").glob("*.json")]
    schemas = {content["$schema"] for content in contents + [t.DEFAULT_CONTENT for t in TEMPLATES]}
    assert schemas == {f"https://vega.github.io/schema/vega-lite/v{plots_page.VEGA_LITE.split('.')[0]}.json"}


def test_javascript_that_would_end_its_script_element_is_refused(monkeypatch):
    monkeypatch.setattr(plots_page.vl_convert, "javascript_bundle", lambda *_: "a = '</script>'")
    with pytest.raises(ValueError, match="</script"):
        plots_page.page()

"""Online Retail, 541,909 real rows: the mapping of the docs and the published reference values.

Chen, D. (2015), Online Retail, UCI Machine Learning Repository 352, doi 10.24432/C5BW33, CC BY 4.0.
The file is not part of this repository: put it at ``../shared/data/online_retail/``, or name it in
``ONLINE_RETAIL``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Literal

import pytest

from bake import ROOT, bake
from conftest import Project

DATA = Path(
    os.environ.get("ONLINE_RETAIL", ROOT.parent / "shared/data/online_retail/online_retail.csv.gz")
)
pytestmark = [
    pytest.mark.flow,
    pytest.mark.skipif(
        not DATA.is_file(), reason=f"put the Online Retail data at {DATA}, or set ONLINE_RETAIL"
    ),
]


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Project:
    where = tmp_path_factory.mktemp("retail")
    project = Project(bake(where), where / "home")
    page = (project.root / "docs/your-data.md").read_text()
    block = re.search(r"```toml\n(\[data\]\n.*?)```", page, re.DOTALL)
    assert block
    config = project.root / "config.toml"
    text = config.read_text()
    start, end = text.index("[data]"), text.index("[data.rates]")
    text = text[:start] + block[1] + "\n" + text[end:]
    config.write_text(re.sub(r"(?m)^inputs = \[.*?\]", "inputs = []", text))
    project.make("run", f"DATA={DATA}", CHURN_OLD_FEATURES="allow")  # it ends in 2011
    return project


def figures(project: Project) -> dict[str, float]:
    found = json.loads((project.root / "data/5_metrics/metrics.json").read_text())
    return {"customers": found["customers"], "base_rate": found["base_rate"], **found["model"]} | {
        "all": found
    }


def test_accepted_and_set_aside_rows_are_all_rows(retail: Project) -> None:
    found = json.loads((retail.root / "data/1_raw/summary.json").read_text())
    assert found["rows_in"] == 541_909
    assert found["rows_out"] + sum(found["set_aside"].values()) == 541_909
    assert found["set_aside"]["duplicate"] == 5_268


def test_the_figures_lie_where_honest_features_put_them(retail: Project) -> None:
    found = figures(retail)
    assert found["all"]["test_cutoff"] == "2011-11-09"  # type: ignore[index]
    assert 0.71 < found["roc_auc"]["value"] < 0.80  # type: ignore[index]
    assert found["brier"]["value"] < 0.215  # type: ignore[index]
    assert found["base_rate"] == pytest.approx(0.569, abs=0.01)
    assert found["customers"] == pytest.approx(2_576, abs=30)


def test_the_readme_prints_the_figures_of_this_run(retail: Project) -> None:
    readme = (ROOT / "README.md").read_text()
    for name, label in (("roc_auc", "ROC AUC"), ("pr_auc", "PR AUC"), ("brier", "Brier score")):
        entry = figures(retail)[name]
        shown = f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})"  # type: ignore[index]
        assert re.search(rf"\| {label} \| {re.escape(shown)} \|", readme), (
            f"README: {label} should be {shown}"
        )
    alone = figures(retail)["all"]["baselines"]  # type: ignore[index]
    assert f"| ROC AUC of recency alone | {alone['recency_only']['roc_auc']:.3f} |" in readme
    assert f"| Brier score of a constant rate | {alone['constant_rate']['brier']:.3f} |" in readme


def test_without_a_customers_table_the_card_names_the_lawful_basis(retail: Project) -> None:
    found = json.loads((retail.root / "data/1_raw/summary.json").read_text())
    assert found["lawful_basis"] == "legitimate_interests"


@pytest.mark.parametrize(("width", "media"), [(1280, "screen"), (390, "screen"), (794, "print")])
def test_the_card_opens_offline_and_silently(
    retail: Project, width: int, media: Literal["screen", "print"], tmp_path: Path
) -> None:
    """Desktop, phone and A4. Pictures and PDF stay in the folder of pytest."""
    from chromium import chromium

    said: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.emulate_media(media=media)
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: said.append(request.url))
        card = (retail.root / "data/6_card/card.html").as_uri()
        page.goto(card)
        fits = page.evaluate("document.documentElement.scrollWidth")
        first = page.get_by_text("Article 22").first.bounding_box()
        page.screenshot(path=tmp_path / f"card-{width}.png", full_page=True)
        printed = (
            page.pdf(path=tmp_path / "card.pdf", prefer_css_page_size=True)
            if media == "print"
            else b""
        )
        smallest = page.evaluate(SMALLEST)
    assert [line for line in said if not line.startswith(("data:", card))] == []
    assert fits <= width
    assert first and first["y"] < 900
    assert smallest >= 9, "CSS pixels; 9 are 6.75 points on paper"
    assert media == "screen" or 3 <= printed.count(b"/Type /Page\n") <= 20


def test_without_group_columns_the_card_says_that_proxies_are_not_measurable_here(
    retail: Project,
) -> None:
    page = (retail.root / "data/6_card/card.html").read_text()
    assert "not measurable here: no group column" in page
    assert '"associations": []' in (retail.root / "data/6_card/card.json").read_text()


SMALLEST = """() => {
  const scale = svg => svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
  const texts = 'p,dt,dd,td,th,li,small,figcaption,svg text';
  const sizes = [...document.querySelectorAll(texts)].filter(e => e.textContent.trim())
    .map(e => parseFloat(getComputedStyle(e).fontSize) * scale(e.closest('svg')));
  return Math.min(...sizes);
}"""
"""The smallest text of the page in CSS pixels, drawings as they are scaled."""

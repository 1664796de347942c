"""Every HTML page of the product in Chromium: wide, phone, narrow and on paper, light and dark, without a violation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

import sovereign_ml
from cards import NOW, POLICY, TODAY, signed
from full_card import full_card
from monitor_reports import EMPTY, a_page
from service_desk import CUSTOMER, KEYS, open_desk
from sovereign_ml.card.build import build
from sovereign_ml.card.records import DOCUMENTS, Sheet, write_documents
from sovereign_ml.card.render import render_html
from sovereign_ml.card.rules import check
from sovereign_ml.card.schema import Facts
from sovereign_ml.config.retention_periods import RetentionSettings
from sovereign_ml.data_subjects import access, access_report, receipts, rectification_receipt
from sovereign_ml.data_subjects.stores.protocol import Trace
from sovereign_ml.pipeline.file_validation import JudgedFile
from sovereign_ml.pipeline.great_expectations import Check
from sovereign_ml.pipeline.validation_report import report
from sovereign_ml.texts import catalogue

pytestmark = pytest.mark.browser
WIDTHS, SCHEMES = (1280, 390, 320), ("light", "dark")
PAPER = {"width": 680, "height": 960}
LANGUAGES = ("en", "de")
ORIGIN = {"origin": "http://127.0.0.1"}
PAGES = {
    "card_full": "card.html.j2",
    "card_open": "card.html.j2",
    **{f"{lang}/{name}": "record.html.j2" for lang in LANGUAGES for name in (*DOCUMENTS, "access")},
    "documents_open/dpia": "record.html.j2",
    "erasure": "record.html.j2",
    "rectification": "record.html.j2",
    "validation_passed": "validation.html.j2",
    "validation_refused": "validation.html.j2",
    "monitor": "monitor.html.j2",
    "monitor_empty": "monitor.html.j2",
    "start": "start.html",
    "sign_in": "sign_in.html",
    "sign_in_refused": "sign_in.html",
    "desk_empty": "desk.html",
    "desk": "desk.html",
    "case": "case.html",
    "case_refused": "case.html",
    "suggestion": "suggestion.html",
    "suggestion_refused": "suggestion.html",
    "problem": "problem.html",
    "problem_written": "problem.html",
}
"""Each page in the states that look different, and its template."""
PARTS = {"base.html", "base.html.j2", "facts.html", "parts.html.j2"}
Write = Callable[[str, str], object]


def test_every_template_is_among_the_pages() -> None:
    found = {path.name for path in Path(sovereign_ml.__file__).parent.rglob("*.html*")}
    assert found == set(PAGES.values()) | PARTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")

    def write(name: str, text: str) -> None:
        (made / f"{name}.html").write_text(text, encoding="utf-8")

    _cards(made, write)
    _letters(made)
    _validation(write)
    write("monitor", a_page())
    write("monitor_empty", a_page(**EMPTY))
    _service(made / "service", write)
    return made


def _cards(made: Path, write: Write) -> None:
    full, unanswered = signed(full_card("article22")), build(Facts(), {}, card_id="acme-churn")
    write("card_full", render_html(full, findings=check(full, POLICY, TODAY, at="promote")))
    found = check(unanswered, POLICY, TODAY, at="promote")
    write("card_open", render_html(unanswered, findings=found))
    for language in LANGUAGES:
        write_documents(Sheet(full, catalogue(language)), made / language)
    write_documents(Sheet(unanswered), made / "documents_open")


def _letters(made: Path) -> None:
    """What a person gets: an answer to an access request, receipts of an erasure and a correction."""
    score = {f"feature_{i}_of_the_last_days": i / 3 for i in range(8)} | {"valid": True, "at": None}
    decision = access_report.DecisionHeld(
        id="d" * 32,
        at="2026-11-24T08:00:00",
        outcome="offer",
        score=0.7,
        band="high",
        model_version="3",
        policy_version="0123456789ab",
        inputs={"recency_days": 61.0},
        reasons=["You have not bought for 61 days."],
        influences=["61 days since the last purchase raises the risk"],
        final_outcome="no_offer",
        decided_by="contested",
        begins={"medium": 0.45, "high": 0.7},
        joint_reasons=[
            access_report.ReasonHeld(
                inputs=["days since the last purchase: 61 days", "purchases in 30 days: 0"],
                effect="raises the risk strongly",
                share=0.8,
            )
        ],
        what_would_change_it="A purchase within 30 days.",
        later=[{"at": "2026-11-25T08:00:00", "kind": "contest", "view": "I was away."}],
    )
    for language in LANGUAGES:
        texts = catalogue(language)
        held = access_report.Access(
            subject=CUSTOMER,
            made_at=NOW,
            provided={"purchases": [score] * 12, "consent": []},
            profile={"score": [score], "features": [score] * 3},
            decisions=[decision],
            objected=True,
            retention=access_report.periods(RetentionSettings()),
            **access_report.about(full_card("article22"), texts),
        )
        access.write(held, made / language, "Acme", texts)
    trace = Trace(
        store="data versions", place="data/1_raw", count=3, unit="rows", action="rows removed"
    )
    receipts.write(
        receipts.Receipt(
            id="erasure",
            reference="T-1",
            status="incomplete",
            started_at=NOW,
            finished_at=NOW,
            people=("a" * 64,),
            removed=(trace,),
            remains=(replace(trace, action="by hand"),),
            source=("data/source/transactions.csv",),
            model=receipts.ModelNote(answer="anonymous", done="nothing"),
            kept=(receipts.KeptItem(what="invoices", why="tax law"),),
        ).sealed(),
        made,
    )
    again = rectification_receipt.Again(
        old="d" * 32,
        new="e" * 32,
        score_before=0.7,
        score_after=0.2,
        outcome_before="offer",
        outcome_after="no_offer",
    )
    rectification_receipt.write(
        rectification_receipt.Rectification(
            id="rectification",
            reference="T-2",
            person="a" * 64,
            at=NOW,
            columns=("amount_eur",),
            rows=2,
            data_version=("d" * 32, "e" * 32),
            again=again,
            noted=("f" * 32,),
            recipients=("Mail house",),
        ),
        made,
    )


def _validation(write: Write) -> None:
    checks = [
        Check("expect_column_values_to_be_between", "amount_eur", "0 to 10,000", 2, (0, 1)),
        Check("expect_column_values_to_not_be_null", "customer_id", "", 0, ()),
    ]
    amounts = pa.table({"amount_eur": [-1.0, -2.5, *[20.0] * 38]})
    for name, shown in (("refused", checks), ("passed", checks[1:])):
        judged = JudgedFile(Path("transactions.parquet"), (), Path())
        judged.add(amounts, shown)
        tables = {"transactions": shown}
        page = report(
            "acme-churn", tables, {"transactions": judged}, limit=0.01, refused=name == "refused"
        )
        write(f"validation_{name}", page)


def _service(made: Path, write: Write) -> None:
    with open_desk(made, significant_effect=True) as desk:

        def post(path: str, **form: str) -> str:
            return str(desk.client.post(path, data=form, headers=ORIGIN).text)

        write("start", desk.client.get("/").text)
        write("sign_in", desk.client.get("/reviews/sign-in").text)
        write("sign_in_refused", post("/reviews/sign-in", key="wrong"))
        write("desk_empty", post("/reviews/sign-in", key=KEYS["review"][0]))
        desk.score()
        case = desk.score().json()["decision_id"]
        desk.contest(case)
        write("desk", desk.client.get("/reviews").text)
        path = f"/reviews/{case}"
        first = desk.client.get(path).text
        write("case", first)
        started = re.search(r'name="started" value="([^"]+)"', first)
        assert started
        write("case_refused", post(path, started=started[1]))
        write("suggestion", post(path, started=started[1], first_view="offer"))
        short = post(path, started=started[1], first_view="offer", outcome="offer", reason="no")
        write("suggestion_refused", short)
        write("problem", desk.client.get("/reviews/no-such-case").text)
        verdict = {
            "first_view": "offer",
            "outcome": "offer",
            "reason": "A seasonal buyer, as before.",
        }
        for _ in range(2):  # the second is too late
            late = post(path, started=started[1], **verdict)
        assert verdict["reason"] in late
        write("problem_written", late)


@pytest.fixture(scope="module")
def heard() -> list[str]:
    """What pages ask for outside of themselves, and what they complain about."""
    return []


@pytest.fixture(scope="module")
def page(browser: Browser, heard: list[str]) -> Iterator[Page]:
    """One page for all; what it shows is changed."""
    opened = browser.new_page()
    opened.on("request", lambda one: heard.append(one.url) if _leaves(one.url) else None)
    opened.on("console", lambda message: heard.append(message.text))
    opened.on("pageerror", lambda error: heard.append(str(error)))
    yield opened
    opened.close()


def _leaves(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


RUN = """async ([context, options]) => {
  const {violations, incomplete} = await axe.run(context, options);
  const unclear = incomplete.filter(one => one.id !== "color-contrast");
  return [...violations, ...unclear].map(one => [one.id, one.nodes.map(node => node.html)]);
}"""
"""What axe cannot decide counts too, but for the contrast of text that is scrolled away or drawn."""
EVERYTHING = {"include": ["html"]}
FIRST_ROWS = {
    **EVERYTHING,
    "exclude": [
        "tbody tr:nth-child(n+6)",
        "#answers table:nth-of-type(n+3)",
        ".curves figure:nth-child(n+3)",
    ],
}
"""Contrast takes most of the time and no colour depends on the width: all is judged on the widest page only."""
LAYOUT = {"rules": {"color-contrast": {"enabled": False}}, "preload": False}
CONTRAST = {"runOnly": ["color-contrast"], "preload": False}


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_nothing_leaves_and_it_fits_every_width_and_paper(
    page: Page, heard: list[str], folder: Path, name: str
) -> None:
    heard.clear()
    page.emulate_media(media="screen")
    page.goto((folder / f"{name}.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.evaluate(Axe().axe_script)
    found: list[Any] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        found += [(width, *one) for one in page.evaluate(RUN, [EVERYTHING, LAYOUT])]
        # No colour depends on the language, and contrast takes most of the time.
        for scheme in () if name.startswith("en/") else SCHEMES:
            page.emulate_media(color_scheme=scheme)
            rows = EVERYTHING if width == max(WIDTHS) else FIRST_ROWS
            found += [(width, scheme, *one) for one in page.evaluate(RUN, [rows, CONTRAST])]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append((width, "scrolls sideways"))
    page.set_viewport_size(PAPER)
    page.emulate_media(media="print", color_scheme="light")
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append(("paper", "wider than the page"))
    assert page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") >= 1
    assert found == []
    assert heard == []

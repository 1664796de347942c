"""The card and the documents in headless Chromium: what the first screen shows, and on how many pages they print."""

import pytest

from cards import POLICY, TODAY, signed
from full_card import full_card
from sovereign_ml.card.records import Sheet, write_documents
from sovereign_ml.card.render import render_html
from sovereign_ml.card.rules import check
from sovereign_ml.texts import catalogue

pytestmark = pytest.mark.browser
SIZES = {"desktop": (1280, 800), "phone": (390, 844), "print": (680, 960)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pages")
    write_documents(Sheet(full_card("article22"), catalogue("de")), made)
    good = signed(full_card("article22"))
    found = check(good, POLICY, TODAY, at="promote")
    (made / "card.html").write_text(render_html(good, findings=found), encoding="utf-8")
    return made


@pytest.fixture
def opened(browser, folder):
    pages = []

    def open_page(name, size):
        width, height = SIZES[size]
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.emulate_media(media="print" if size == "print" else "screen")
        page.goto((folder / f"{name}.html").as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize(
    "text",
    [
        "Find customers who will",
        "customers in DE, AT",
        "Article 22 applies",
        "Ask a human",
        "Contest",
        "Stop offers",
    ],
)
def test_the_first_screen_shows_it_without_scrolling(opened, text, size):
    page = opened("card", size)
    box = page.get_by_text(text).first.bounding_box()
    assert box["y"] + box["height"] <= SIZES[size][1]


def test_the_navigation_is_not_printed(opened):
    assert opened("card", "desktop").locator("nav").is_visible()
    assert not opened("card", "print").locator("nav").is_visible()


def test_the_card_prints_on_seventeen_pages_at_most(opened):
    pdf = opened("card", "print").pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") <= 17


@pytest.mark.parametrize(("name", "most"), [("notice", 4), ("notice-short", 1), ("dpia", 9)])
def test_a_document_prints_on_few_pages(opened, name, most):
    pdf = opened(name, "print").pdf(prefer_css_page_size=True)
    assert 1 <= pdf.count(b"/Type /Page\n") <= most

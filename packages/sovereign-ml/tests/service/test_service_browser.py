"""The reviewer's desk in Chromium: with the keyboard alone, without script, without another host."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from service_desk import CUSTOMER, FEATURES, KEYS
from shipped import Service, reviewed

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with reviewed(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, running: Service) -> Iterator[Page]:
    opened = browser.new_page(java_script_enabled=True)
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    assert all(url.startswith((running.url, "data:")) for url in asked)
    opened.close()


def _case(running: Service) -> str:
    return str(
        running.post("/v1/score", {"customer_id": CUSTOMER, "features": FEATURES}).json()[
            "decision_id"
        ]
    )


def _sign_in(page: Page, running: Service) -> None:
    page.goto(f"{running.url}/reviews")
    page.wait_for_function(
        "document.activeElement.name === 'key'"
    )  # a busy browser gives the focus a little later
    page.keyboard.type(KEYS["review"][0])
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Cases that wait for a person")


NAME = """() => {
    const e = document.activeElement
    return e.labels?.[0]?.innerText || e.getAttribute('aria-label') || e.innerText || ''
}"""


def _tab_to(page: Page, label: str) -> None:
    """Press Tab until the element with this accessible name has the focus, as somebody without a mouse does."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if label in page.evaluate(NAME):
            return
    raise AssertionError(f"{label!r} cannot be reached with the keyboard")


def test_a_case_is_decided_with_the_keyboard_alone(page: Page, running: Service) -> None:
    case = _case(running)
    _sign_in(page, running)
    _tab_to(page, f"Review case {case[:8]}")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Step 1 of 2")
    assert "model suggests an" not in page.inner_text("main")
    _tab_to(page, "Make the offer")
    page.keyboard.press("Space")
    _tab_to(page, "Show what the model suggests")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Step 2 of 2")
    _tab_to(page, "Make the offer")
    page.keyboard.press("ArrowDown")
    _tab_to(page, "Your reason")
    page.keyboard.type("Buys once a season; the gap is normal.")
    _tab_to(page, "Decide")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Cases that wait for a person")
    assert page.get_by_text("Suggestion overruled").count() == 1
    late = {"reason": "Somebody else, later.", "version": "0" * 64}
    again = {"outcome": "offer", **late}
    assert running.post(f"/v1/reviews/{case}", again, "review").status_code == 409


def test_every_field_and_table_has_a_name_for_screen_readers(page: Page, running: Service) -> None:
    case = _case(running)
    _sign_in(page, running)
    page.goto(f"{running.url}/reviews/{case}")
    assert (
        page.get_by_role("group", name="From these inputs alone, what would you do?").count() == 1
    )
    assert page.get_by_role("radio").count() == page.locator("label input[type=radio]").count() == 2
    assert page.locator("table").count() == page.locator("table caption").count()
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_label("Make no offer").check()
    page.get_by_role("button", name="Show what the model suggests").click()
    assert page.get_by_label("Your reason").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1


def test_the_pages_fit_a_phone(page: Page, running: Service, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    case = _case(running)
    _sign_in(page, running)
    for path in ("/reviews", f"/reviews/{case}", "/"):
        page.goto(running.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_no_page_raises_an_error_or_breaks_its_own_content_security_policy(
    page: Page, running: Service
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    _sign_in(page, running)
    for path in ("/", "/reviews", "/reviews/sign-in"):
        page.goto(running.url + path)
    assert [
        text for text in said if "favicon" not in text and "401" not in text and "404" not in text
    ] == []

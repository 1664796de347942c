"""Every HTML page of the product in Chromium with a request log: nothing is loaded from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import sovereign_ml
from monitor_reports import a_page
from servers import answers, free_port, until
from service_desk import CUSTOMER, FEATURES, KEYS
from shipped import Service, reviewed
from small_project import PROJECT, churn, environment, load
from sovereign_ml.pipeline.project_audit import judged

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.flow]
FILES = {
    "validation.html.j2": "data/2_valid/report.html",
    "card.html.j2": "data/6_card/card.html",
    "record.html.j2": "build/documents/dpia.html",
}
"""Where each template of a file shows: the documents, receipts and answers to people share one."""
WATCHED = {"monitor.html.j2"}
SERVED = {
    *("start.html", "sign_in.html", "desk.html", "case.html", "suggestion.html"),
    "problem.html",
}
PARTS = {"base.html", "base.html.j2", "facts.html", "parts.html.j2"}
MLFLOW = ("", "experiments/1/runs", "models/acme-churn")
FILM = "experiments/1/traces"
"""The page that shows a film of mlflow.org."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    opened.asked = []  # type: ignore[attr-defined]
    opened.on("requestfinished", lambda request: opened.asked.append(request.url))  # type: ignore[attr-defined]
    opened.on("requestfailed", lambda request: opened.asked.append(request.url))  # type: ignore[attr-defined]
    yield opened
    opened.close()


def outside(page: Page, own: str) -> list[str]:
    """Addresses that the page loaded, or tried to, other than its own."""
    return [url for url in page.asked if not url.startswith((own, "data:", "blob:"))]  # type: ignore[attr-defined]


def test_every_template_of_the_product_is_opened_here() -> None:
    code = [Path(sovereign_ml.__file__).parent, PROJECT / "src", PROJECT / "serve"]
    templates = {path.name for folder in code for path in folder.rglob("*.html*")}
    assert templates == set(FILES) | WATCHED | SERVED | PARTS
    written = [
        path
        for folder in code
        for path in folder.rglob("*.py")
        if re.search("<html|<!doctype html", path.read_text(encoding="utf-8"), re.I)
    ]
    assert written == [], "a page outside a template is opened by no test"


@pytest.mark.usefixtures("bundle")
def test_the_pages_that_are_files_load_nothing_and_change_no_fact_of_the_card(
    page: Page, project: Path
) -> None:
    hosts = [(at.where, at.address) for at in judged(load(project), {}).findings]
    assert churn(project, "card", "documents").returncode == 0
    names = [*FILES.values(), "build/documents/notice.html"]
    for name in names:
        page.goto((project / name).as_uri())
        assert page.title()
    assert len(page.asked) >= len(names)  # type: ignore[attr-defined]
    assert outside(page, "file:") == []
    assert [(at.where, at.address) for at in judged(load(project), {}).findings] == hosts


def test_the_page_of_the_monitor_loads_nothing(page: Page, tmp_path: Path) -> None:
    (tmp_path / "monitor.html").write_text(a_page(), encoding="utf-8")
    page.goto((tmp_path / "monitor.html").as_uri())
    page.wait_for_selector("text=A-2026-06-01-missing")
    assert page.asked  # type: ignore[attr-defined]
    assert outside(page, "file:") == []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with reviewed(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


def test_the_pages_of_the_service_load_nothing(page: Page, running: Service) -> None:
    case = running.post("/v1/score", {"customer_id": CUSTOMER, "features": FEATURES}).json()[
        "decision_id"
    ]
    page.goto(running.url)
    page.goto(f"{running.url}/openapi.json")
    page.goto(f"{running.url}/reviews")
    page.get_by_label("key").fill(KEYS["review"][0])
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Cases that wait for a person")
    page.goto(f"{running.url}/v1/card")
    page.goto(f"{running.url}/reviews/{case}")
    page.get_by_label("Make no offer").check()
    page.get_by_role("button", name="Show what the model suggests").click()
    page.wait_for_selector("text=Step 2 of 2")
    page.goto(f"{running.url}/reviews/{'0' * 32}")
    page.wait_for_selector("text=No such case.")
    assert outside(page, running.url) == []


@contextmanager
def mlflow_ui(root: Path, command: list[str]) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=root,
        env=environment(root),
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        until(answers(f"http://127.0.0.1:{port}/health"), 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.mark.usefixtures("bundle")
def test_mlflow_s_pages_load_nothing_although_they_would(page: Page, project: Path) -> None:
    with mlflow_ui(project, [str(Path(sys.executable).with_name("churn")), "ui"]) as url:
        for path in MLFLOW:
            page.goto(f"{url}/#/{path}")
            page.wait_for_function(
                "document.querySelector('#root')?.innerText.length > 200", timeout=60_000
            )
        refused = page.expect_console_message(
            lambda said: "mlflow.org" in said.text and "Content Security Policy" in said.text,
            timeout=60_000,
        )
        with refused:
            page.goto(f"{url}/#/{FILM}")
        assert outside(page, url) == []

"""Take the README's pictures in a finished project: `.venv/bin/python docs/pictures.py FOLDER`.

``FOLDER`` is a project after `make run`, such as `build/acme-churn` after `make demo`. Everybody in
the pictures is a customer of the built-in shop, which invents them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.pipeline.batch_scoring import current_customers

ROOT = Path(__file__).resolve().parents[1]
SUPPORT = ROOT / "packages" / "sovereign-ml" / "tests" / "support"
sys.path[:0] = [str(SUPPORT / name) for name in ("cards", "platforms", "projects")]

# The paths above come first.
from chromium import chromium  # noqa: E402
from service_desk import KEYS  # noqa: E402
from shipped import Service, service  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1000, 640
MOST_BYTES = 150_000


def take(project: Path, browser: Browser) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each picture."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    page.goto((project / "data/6_card/card.html").as_uri())
    yield "card.webp", small(page.screenshot())
    with TemporaryDirectory() as folder:
        log = str(Path(folder) / "decisions.db")
        # The project's own service class, and the library as it is installed.
        more = {"PYTHONPATH": str(project / "serve"), "CHURN_SEED_SHARE": "0"}
        with service(project / "data/7_bundle", log, **more) as running:
            review(page, running, contested(running, person(project)))
            yield "desk.webp", small(page.screenshot())
    page.close()


def person(project: Path) -> dict[str, Any]:
    """Return a request for the first current customer, with the features of the newest snapshot."""
    bundle = read_bundle(project / "data/7_bundle")
    _, rows = current_customers(project / "data/3_features", bundle.model.features)
    features = next(rows.to_batches(1000)).slice(0, 1).to_pylist()[0]
    del features["event_timestamp"]
    return {"customer_id": features.pop("customer_id"), "features": features}


def contested(running: Service, request: dict[str, Any]) -> str:
    """Decide about a person who then contests it; return the id of the decision."""
    decision = running.post("/v1/score", request).raise_for_status().json()["decision_id"]
    path, view = f"/v1/decisions/{decision}/contest", {"view": "I was on holiday."}
    answer = running.post(path, view, "subject", customer_id=request["customer_id"])
    answer.raise_for_status()
    return str(decision)


def review(page: Page, running: Service, case: str) -> None:
    """Open a case as a reviewer does: sign in, say the own view, then see the suggestion."""
    page.goto(f"{running.url}/reviews/sign-in")
    page.locator("input[name=key]").fill(KEYS["review"][0])
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Cases that wait for a person")
    page.goto(f"{running.url}/reviews/{case}")
    page.get_by_label("Make the offer").check()
    page.get_by_role("button", name="Show what the model suggests").click()
    page.wait_for_selector("text=Step 2 of 2")


def small(png: bytes) -> bytes:
    """Return a screenshot as WebP."""
    target = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(target, "WEBP", quality=80, method=6)
    return target.getvalue()


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    with chromium() as opened:
        for name, content in take(Path(sys.argv[1]).resolve(), opened):
            (PICTURES / name).write_bytes(content)
            print(f"{PICTURES / name}: {len(content):,} bytes")

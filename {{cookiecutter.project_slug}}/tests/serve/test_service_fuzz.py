"""Schemathesis over our own OpenAPI document: no 5xx, no answer that the document does not describe.

``FUZZ_EXAMPLES=2500 pytest tests/serve/test_service_fuzz.py`` runs for about ten minutes; `make fuzz` does that.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from service_desk import KEYS, write_bundle
from shipped import Service, service

from churn_service.http import Route
from churn_service.routes import ROUTES
from sovereign.decision_log import open_log, verify

pytestmark = pytest.mark.servers
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))  # noqa: TID251
"""Per operation."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Service]:
    with service(write_bundle(folder / "bundle", human_review=True), str(folder / "decisions.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def api(running: Service) -> Any:
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.page], ids=lambda r: f"{r.method} {r.path}")
def test_no_5xx_and_no_undocumented_answer(api: Any, route: Route) -> None:
    key = KEYS[sorted(route.scopes)[0]][0] if route.scopes else ""

    @given(case=api[route.path][route.method].as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def holds(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"} if key else None)

    holds()


def test_after_all_that_the_chain_holds(running: Service, folder: Path) -> None:
    log = open_log(str(folder / "decisions.db"))
    assert verify(log).holds
    log.close()

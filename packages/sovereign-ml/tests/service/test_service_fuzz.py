"""Schemathesis over our own OpenAPI document: no 5xx, no answer that the document does not describe.

The log is on PostgreSQL, which is what ships. ``FUZZ_EXAMPLES=2500`` makes it run for about ten minutes.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from servers import postgres_or_skip
from service_desk import KEYS, write_bundle
from shipped import Service, service
from sovereign_ml.decision_log import open_log, verify
from sovereign_ml.service.http import Route
from sovereign_ml.service.routes import ROUTES

pytestmark = pytest.mark.servers
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
"""Per operation."""
REFUSALS = [400, 401, 403, 404, 409, 413, 415, 422, 429]
"""How a request that is not as documented may be turned down."""
MODES = {False: [GenerationMode.POSITIVE], True: [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]}
"""What is sent: as documented; where there is a body, also what is not."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres_or_skip() as server:
        yield server.url()


@pytest.fixture(scope="module")
def running(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with service(write_bundle(folder / "bundle", human_review=True), address) as opened:
        yield opened


@pytest.fixture(scope="module")
def api(running: Service) -> Any:
    config = SchemathesisConfig.from_str(
        f"[checks.negative_data_rejection]\nexpected-statuses = {REFUSALS}"
    )
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json", config=config)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if not route.page], ids=lambda r: f"{r.method} {r.path}"
)
def test_no_5xx_and_no_undocumented_answer(api: Any, route: Route) -> None:
    key = KEYS[sorted(route.scopes)[0]][0] if route.scopes else ""
    operation = api[route.path][route.method]

    @given(
        case=st.one_of(
            *(operation.as_strategy(generation_mode=mode) for mode in MODES[route.body is not None])
        )
    )
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def holds(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"} if key else None)

    holds()


def test_after_all_that_the_chain_holds_and_the_service_counted_no_error(
    running: Service, address: str
) -> None:
    log = open_log(address)
    verdict = verify(log)
    assert verdict.holds
    log.close()
    headers = {"authorization": f"Bearer {KEYS['admin'][0]}"}
    counted = re.findall(
        r'churn_requests_total\{.*status="(\d+)"\} ([\d.]+)',
        httpx.get(f"{running.url}/metrics", headers=headers).text,
    )
    by_status: Counter[str] = Counter()
    for status, count in counted:
        by_status[status] += int(float(count))
    sys.stdout.write(
        f"{by_status.total():,} requests {dict(sorted(by_status.items()))}, {verdict.entries:,} entries\n"
    )
    assert not [status for status in by_status if status >= "500"]

"""Ask a freshly deployed service whether it is ready and keeps strangers out."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx

from sovereign_ml.deploy.transport import https_only

STEP_S = 2.0


def smoke_test(url: str, *, timeout_s: float, sleep: Callable[[float], None]) -> str:
    """Return "" when the service below ``url`` is as it must be, else the fault in a few words.

    ``/readyz`` must answer 200 within ``timeout_s`` seconds: a new name and certificate take a
    moment. ``/v1/score`` must answer 401 to a request without a key, because the address is public.
    """
    https_only(url)
    waited, readiness = 0.0, _status(url, "GET", "/readyz")
    while readiness != "200":
        if waited >= timeout_s:
            return f"{url}/readyz answered {readiness} for {timeout_s:.0f} s, 200 is needed"
        sleep(STEP_S)
        waited, readiness = waited + STEP_S, _status(url, "GET", "/readyz")
    # An empty object fits no contract, so even an open service decides about nobody.
    stranger = _status(url, "POST", "/v1/score", "{}")
    if stranger == "401":
        return ""
    return (
        f"{url}/v1/score answered {stranger} to a request without a key, 401 is needed: "
        "it may be open to anyone"
    )


def _status(url: str, method: str, path: str, body: str | None = None) -> str:
    """Return the status of one answer, or the reason why there is none, without redirects."""
    try:
        answer = httpx.request(
            method,
            url.rstrip("/") + path,
            content=body,
            headers={"Content-Type": "application/json"},
            timeout=10,
            # Asked directly, as its users do: a proxy could answer in place of the service.
            trust_env=False,
            verify=ssl.create_default_context(),
        )
    except httpx.HTTPError as error:
        return f"nothing ({error})"
    return str(answer.status_code)

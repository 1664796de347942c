"""Ask a freshly deployed service whether it is ready and keeps strangers out."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from sovereign_ml.deploy.transport import NETWORK_ERRORS, https_only

STEP_S = 2.0


def smoke_test(url: str, *, timeout_s: float, sleep: Callable[[float], None]) -> str:
    """Empty when the service below ``url`` is as it must be, else what is wrong in a few words.

    ``/readyz`` must answer 200 within ``timeout_s`` seconds (a new name and certificate take a moment), and
    ``/v1/score`` must answer 401 to a request without a key, because the address is public.
    """
    https_only(url)
    waited, seen = 0.0, _ask(url, "GET", "/readyz")
    while seen != str(HTTPStatus.OK.value):
        if waited >= timeout_s:
            return f"{url}/readyz answered {seen} for {timeout_s:.0f} s, 200 is needed"
        sleep(STEP_S)
        waited, seen = waited + STEP_S, _ask(url, "GET", "/readyz")
    stranger = _ask(url, "POST", "/v1/score", "{}")
    if stranger != str(HTTPStatus.UNAUTHORIZED.value):
        return f"{url}/v1/score answered {stranger} to a request without a key, 401 is needed: it may be open to anyone"
    return ""


def _ask(url: str, method: str, path: str, body: str | None = None) -> str:
    """The status of one answer, or why there is none; redirects are not followed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=10, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=10)
    )
    try:
        connection.request(
            method, parts.path.rstrip("/") + path, body, {"Content-Type": "application/json"}
        )
        return str(connection.getresponse().status)
    except NETWORK_ERRORS as error:
        return f"nothing ({error})"
    finally:
        connection.close()

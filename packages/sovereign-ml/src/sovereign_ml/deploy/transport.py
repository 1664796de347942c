"""HTTP to one API with the standard library: https only, no redirect with the key, waits where it is told to wait."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sovereign_ml.deploy import DeployError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
NETWORK_ERRORS = (OSError, http.client.HTTPException)


class SotaError(DeployError):
    """The platform refused or could not be reached; ``status`` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Patience(NamedTuple):
    """How long to wait for the platform: tries in all, seconds between them, socket timeout in seconds."""

    tries: int = 6
    first_wait_s: float = 5.0
    longest_wait_s: float = 120.0
    timeout_s: float = 60.0

    def backoff(self, turn: int) -> float:
        """Seconds to wait after try number ``turn`` (from 0): doubling, up to the longest."""
        return float(min(self.first_wait_s * 2**turn, self.longest_wait_s))


PATIENT = Patience()


class Transport:
    """Calls below one base address with a bearer key, which is sent there only and never printed."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        patience: Patience = PATIENT,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.base_url = https_only(base_url).rstrip("/")
        self._token, self._patience, self._sleep, self._say = token, patience, sleep, say

    def json(self, method: str, path: str, body: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Send ``body`` as JSON and return the answer's envelope, an object with ``data``."""
        content = json.dumps(body).encode() if body is not None else None
        return envelope(self.send(method, path, content, "application/json"))

    def send(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """One call; again after 429 and 503, by which the platform says that it did nothing, and a broken GET."""
        for turn in range(self._patience.tries - 1):
            try:
                return self._once(method, path, body, kind)
            except SotaError as error:
                wait = self._wait(error, method, turn)
                if wait is None:
                    raise
                self._say(
                    f"{error}; trying again in {wait:.0f} s ({turn + 1} of {self._patience.tries - 1})"
                )
                self._sleep(wait)
        return self._once(method, path, body, kind)

    def lines(self, path: str) -> Iterator[str]:
        """Lines of a server-sent event stream; it just ends, also when it is cut or silent for too long."""
        request = self._request("GET", path, None, "")
        request.add_header("Accept", "text/event-stream")
        try:
            with _OPENER.open(request, timeout=self._patience.timeout_s) as stream:
                for raw in stream:
                    yield raw.decode("utf-8", "replace").rstrip("\r\n")
        except NETWORK_ERRORS:
            return

    def _once(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        where = f"{method} {path.partition('?')[0]}"
        try:
            with _OPENER.open(
                self._request(method, path, body, kind), timeout=self._patience.timeout_s
            ) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise _RefusedError(where, error) from None
        except NETWORK_ERRORS as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            raise SotaError(f"{where}: {self.base_url} did not answer: {reason}") from None

    def _wait(self, error: SotaError, method: str, turn: int) -> float | None:
        if (
            isinstance(error, _RefusedError)
            and error.status == HTTPStatus.TOO_MANY_REQUESTS
            and error.reset
        ):
            return min(max(error.reset - time.time() + 1, 1.0), self._patience.longest_wait_s)
        again = error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        return (
            self._patience.backoff(turn)
            if again or (error.status == 0 and method == "GET")
            else None
        )

    def _request(
        self, method: str, path: str, body: bytes | None, kind: str
    ) -> urllib.request.Request:
        request = urllib.request.Request(f"{self.base_url}{path}", data=body, method=method)  # noqa: S310  https_only
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.add_header("Content-Type", kind)
        return request


class _RefusedError(SotaError):
    """An answer of 300 and above, with the platform's own words; ``reset`` is X-RateLimit-Reset in Unix seconds."""

    def __init__(self, where: str, error: urllib.error.HTTPError) -> None:
        text = error.read(2000).decode("utf-8", "replace")
        try:
            message = str(json.loads(text)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = text[:200].strip() or "no message"
        super().__init__(f"{where}: {error.code} {message}", error.code)
        reset = error.headers.get("X-RateLimit-Reset", "")
        self.reset = int(reset) if reset.isdigit() else 0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect())


def https_only(url: str) -> str:
    """``url`` if a key may be sent there: https, or http to this machine. ValueError otherwise."""
    parts = urlsplit(url)
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    ):
        return url
    raise ValueError(
        f"{url!r}: only https addresses are allowed (http for this machine alone); correct config.toml"
    )


def envelope(answer: bytes) -> dict[str, Any]:
    """The parsed answer; SotaError unless it is the documented object with ``data``."""
    try:
        content = json.loads(answer)
    except ValueError:
        content = None
    if not isinstance(content, dict) or "data" not in content:
        raise SotaError(f'the API answered {answer[:80]!r}, documented is {{"data": ...}}')
    return content

"""HTTPS calls to the platform's API. The key goes to one address, and busy answers are retried."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from sovereign_ml.deploy import DeployError
from sovereign_ml.jurisdictions import parse

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_HEADER = re.compile("[!-~]+")


class SotaError(DeployError):
    """A refusal of the platform, or no answer.

    ``status`` is the HTTP status, 0 without an answer. ``reset`` is the end of a rate limit in Unix
    seconds, 0 if the platform names none.
    """

    def __init__(self, message: str, status: int = 0, reset: int = 0) -> None:
        super().__init__(message)
        self.status, self.reset = status, reset


class Patience(NamedTuple):
    """Limits of waiting for the platform: tries in all, seconds between them, socket timeout."""

    tries: int = 6
    first_wait_s: float = 5.0
    longest_wait_s: float = 120.0
    timeout_s: float = 60.0


PATIENT = Patience()


class Transport:
    """Calls below one base address, with a bearer key that is sent there only and never printed."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        patience: Patience = PATIENT,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        # Refused here: the client's own message about such a header repeats it.
        if not _HEADER.fullmatch(token.strip()):
            raise ValueError(
                "SOTA_API_KEY holds a blank, a line break or a letter outside of ASCII: copy the "
                "key again, which begins with sota_"
            )
        self.base_url = https_only(base_url).rstrip("/")
        self._patience, self._sleep, self._say = patience, sleep, say
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token.strip()}"},
            timeout=patience.timeout_s,
            # The system's certificates: a company may have added its own authority there.
            verify=ssl.create_default_context(),
            # A redirect could carry the key to another host.
            follow_redirects=False,
            # A POST over a connection that the server has just closed would fail unrepeated.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def json(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Send a request and return the answer's envelope, an object with ``data``."""
        answer = self.send(method, path, **content)
        try:
            envelope = answer.json()
        except ValueError:
            envelope = None
        if not isinstance(envelope, dict) or "data" not in envelope:
            raise SotaError(
                f'the API answered {answer.content[:80]!r}, documented is {{"data": ...}}'
            )
        return envelope

    def send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send a request with httpx's ``json`` or ``files``, and return an answer below 300.

        Repeats it after 429 and 503, by which the platform says that it did nothing, and repeats a
        GET without an answer. Raises SotaError.
        """
        repeats = self._patience.tries - 1
        for attempt in range(repeats):
            try:
                return self._once(method, path, **content)
            except SotaError as error:
                wait = self._wait(error, method, attempt)
                if wait is None:
                    raise
                self._say(f"{error}; trying again in {wait:.0f} s ({attempt + 1} of {repeats})")
                self._sleep(wait)
        return self._once(method, path, **content)

    def lines(self, path: str) -> Iterator[str]:
        """Yield the lines of a server-sent event stream until it ends, breaks or falls silent."""
        url, headers = f"{self.base_url}{path}", {"Accept": "text/event-stream"}
        try:
            with self._http.stream("GET", url, headers=headers) as stream:
                if stream.is_success:
                    yield from stream.iter_lines()
        # The stream shows progress alone. The list of deployments tells the outcome.
        except httpx.HTTPError:
            return

    def _once(self, method: str, path: str, **content: Any) -> httpx.Response:
        call = f"{method} {path.partition('?')[0]}"
        try:
            answer = self._http.request(method, f"{self.base_url}{path}", **content)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise SotaError(f"{call}: {self.base_url} did not answer: {reason}") from None
        if answer.is_success:
            return answer
        try:
            message = str(answer.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = answer.text[:200].strip() or "no message"
        reset = answer.headers.get("X-RateLimit-Reset", "")
        raise SotaError(
            f"{call}: {answer.status_code} {message}",
            answer.status_code,
            int(reset) if reset.isdigit() else 0,
        )

    def _wait(self, error: SotaError, method: str, attempt: int) -> float | None:
        """Return the seconds until the next attempt, None if the request must not be repeated."""
        longest = self._patience.longest_wait_s
        if error.status == HTTPStatus.TOO_MANY_REQUESTS and error.reset:
            return min(max(error.reset - time.time() + 1, 1.0), longest)
        busy = error.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
        if busy or (error.status == 0 and method == "GET"):
            return float(min(self._patience.first_wait_s * 2**attempt, longest))
        return None


def https_only(url: str) -> str:
    """Return ``url`` if a key may be sent there: https, or http to this machine.

    Raises ValueError otherwise, also for an address to which no path can be added, and for a host
    that no name server could be asked for.
    """
    try:
        parts = urlsplit(url)
        is_base = not (parts.query or parts.fragment or "@" in parts.netloc or parts.port == 0)
    except ValueError:
        parts, is_base = urlsplit(""), False
    if not is_base or parse(url).problem:
        # Not repeated: it may hold a password.
        raise ValueError(
            "an address is needed such as https://churn.example.eu, with a host that can be, and "
            "without user, password, ? and #; correct [deploy] service_url or api_url in config.toml"
        )
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    ):
        return url
    raise ValueError(
        f"{url!r}: only https addresses are allowed (http for this machine alone); "
        "correct config.toml"
    )

"""Features from a feature store's own server, Feast's or Hopsworks'.

They are taken as they are or not at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sovereign_ml.decisions import freshness, hopsworks_look_up
from sovereign_ml.service.problems import ProblemError, unavailable

if TYPE_CHECKING:
    import httpx

    from sovereign_ml.service.settings import ServiceSettings

Row = dict[str, float | str | None]
AWAY = "Nothing was decided: the feature server did not answer as it should."
STARTING = "The feature server has not answered a look-up yet."
KEY = "customer_id"
"""Key of a row: a pseudonym."""
NOBODY = "0" * 32
"""A pseudonym that nobody has."""


class LookedUp(NamedTuple):
    """The features of one customer, with the times of the oldest and the newest value."""

    row: Row
    oldest: datetime
    newest: datetime


class FeatureServer(ABC):
    """A server that looks customers up by one POST.

    Each kind of server has its own request and answer.
    """

    path: str

    def __init__(self, settings: ServiceSettings) -> None:
        self._url = settings.feature_store.rstrip("/") + self.path
        self._timeout_s = settings.feature_timeout
        self._headers = self.headers(settings.feature_token.get_secret_value())
        self._client: httpx.AsyncClient | None = None
        self._has_answered = False

    async def has_answered(self) -> None:
        """Return once the server has answered a look-up. Raises ProblemError 503 before.

        The first look-up is slow. Whoever waits for this does not meet it.
        """
        if self._has_answered:
            return
        try:
            # Nobody's features are read only to see whether the server works.
            await self._ask(self.body([NOBODY]))
        except ProblemError:
            raise unavailable(STARTING) from None
        self._has_answered = True

    async def look_up(
        self, customers: Sequence[str], names: Sequence[str]
    ) -> list[LookedUp | None]:
        """Return features and their date for each customer, or None for an unknown one.

        Raises ProblemError 503 when the server is slow, down, or answers nonsense, such as values
        without a date.
        """
        answer = await self._ask(self.body(customers))
        try:
            return self.rows(answer, customers, names)
        except (KeyError, IndexError, TypeError, ValueError):
            raise unavailable(AWAY) from None

    @abstractmethod
    def headers(self, token: str) -> dict[str, str]:
        """Return the headers that carry ``token``, none for an empty one."""

    @abstractmethod
    def body(self, customers: Sequence[str]) -> dict[str, Any]:
        """Return the body of the request for ``customers``."""

    @abstractmethod
    def rows(
        self, answer: Any, customers: Sequence[str], names: Sequence[str]
    ) -> list[LookedUp | None]:
        """Read the server's answer.

        Raises KeyError, IndexError, TypeError or ValueError for any other answer.
        """

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _ask(self, body: dict[str, Any]) -> Any:
        import asyncio

        import httpx

        if self._client is None:
            # Proxies and .netrc of the environment are not for this call. The team's own
            # certificate authority is.
            authorities = httpx.create_ssl_context() if self._url.startswith("https") else True
            self._client = httpx.AsyncClient(
                timeout=self._timeout_s, trust_env=False, verify=authorities
            )
        try:
            async with asyncio.timeout(
                self._timeout_s
            ):  # httpx counts per read: a dripping server would never end
                response = await self._client.post(self._url, json=body, headers=self._headers)
                response.raise_for_status()
                return response.json()
        # json gives up on thousands of nested brackets with a RecursionError.
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError):
            raise unavailable(AWAY) from None


Cell = tuple[Any, str, str]
NEVER = "1970-01-01T00:00:00Z"
"""The time of a value that was never written.

Redis has no mark for an absent value, so Feast calls its unknown customers too old.
"""


class FeastServer(FeatureServer):
    """Feast's feature server, as `churn servers features` runs it."""

    path = "/get-online-features"

    def __init__(self, settings: ServiceSettings) -> None:
        super().__init__(settings)
        self._service = settings.feature_service

    def headers(self, token: str) -> dict[str, str]:
        """Return the bearer token."""
        return {"authorization": f"Bearer {token}"} if token else {}

    def body(self, customers: Sequence[str]) -> dict[str, Any]:
        """Return the service and the customers."""
        return {"feature_service": self._service, "entities": {KEY: list(customers)}}

    def rows(
        self, answer: Any, customers: Sequence[str], names: Sequence[str]
    ) -> list[LookedUp | None]:
        """Read one column per feature."""
        columns = _columns(answer, len(customers))
        return [
            _looked_up({name: columns[name][i] for name in names}) for i in range(len(customers))
        ]


def _columns(answer: Any, count: int) -> dict[str, list[Cell]]:
    names, results = answer["metadata"]["feature_names"], answer["results"]
    columns = {
        name: list(zip(part["values"], part["statuses"], _times(part), strict=True))
        for name, part in zip(names, results, strict=True)
    }
    if any(len(column) != count for column in columns.values()):
        raise ValueError("another number of customers than was asked for")
    return columns


def _times(part: Any) -> list[str]:
    return part.get("event_timestamps") or [""] * len(part["values"])


def _looked_up(cells: dict[str, Cell]) -> LookedUp | None:
    """Return a customer's features from Feast, or None for an unknown customer.

    PRESENT is a value, and NULL_VALUE is a missing one. All NOT_FOUND is an unknown customer. The
    rest raises ValueError.

    Feast does not check a ttl here, or calls values OUTSIDE_MAX_AGE. The policy decides how old
    values may be.
    """
    statuses = {
        "NOT_FOUND" if written == NEVER else status for _, status, written in cells.values()
    }
    if statuses == {"NOT_FOUND"}:
        return None
    if not statuses <= {"PRESENT", "NULL_VALUE"}:
        raise ValueError("values that are not there or too old")
    row = {
        name: value if status == "PRESENT" else None for name, (value, status, _) in cells.items()
    }
    times = [freshness.read_time(written) for _, _, written in cells.values()]
    return LookedUp(row, min(times), max(times))


class HopsworksServer(FeatureServer):
    """Hopsworks' online feature store, by the REST API of its RonDB."""

    path = hopsworks_look_up.PATH

    def __init__(self, settings: ServiceSettings) -> None:
        super().__init__(settings)
        self._view = (
            settings.feature_store_name,
            settings.feature_view,
            settings.feature_view_version,
        )

    def headers(self, token: str) -> dict[str, str]:
        """Return the API key."""
        return {"x-api-key": token} if token else {}

    def body(self, customers: Sequence[str]) -> dict[str, Any]:
        """Return the view and the customers."""
        return hopsworks_look_up.request(*self._view, customers)

    def rows(
        self, answer: Any, customers: Sequence[str], names: Sequence[str]
    ) -> list[LookedUp | None]:
        """Read one row per customer, in the order of the request.

        A customer with a part of the features is not scored.
        """
        return [
            None if row is None else _vector(row, names)
            for row in hopsworks_look_up.rows(answer, customers)
        ]


def _vector(row: dict[str, Any], names: Sequence[str]) -> LookedUp:
    as_of = freshness.read_time(row[hopsworks_look_up.AS_OF])
    return LookedUp({name: row[name] for name in names}, as_of, as_of)


KINDS: dict[str, type[FeatureServer]] = {"feast": FeastServer, "hopsworks": HopsworksServer}


def connect(settings: ServiceSettings) -> FeatureServer | None:
    """Return the feature server that the settings name, or None."""
    return KINDS[settings.feature_kind](settings) if settings.feature_store else None

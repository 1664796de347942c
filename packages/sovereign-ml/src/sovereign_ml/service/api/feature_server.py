"""Features from Feast's feature server, taken as they are or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sovereign_ml.decisions import freshness
from sovereign_ml.service.problems import unavailable

if TYPE_CHECKING:
    import httpx

Row = dict[str, float | str | None]
AWAY = "Nothing was decided: the feature server did not answer as it should."


class LookedUp(NamedTuple):
    """The features of one customer, and as of when: the oldest and the newest of its values."""

    row: Row
    oldest: datetime
    newest: datetime


class FeatureServer:
    """Looks customers up at ``POST /get-online-features``."""

    def __init__(self, uri: str, service: str, timeout_s: float, token: str = "") -> None:
        self._url = uri.rstrip("/") + "/get-online-features"
        self._service = service
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client: httpx.AsyncClient | None = None

    async def look_up(
        self, customers: Sequence[str], names: Sequence[str]
    ) -> list[LookedUp | None]:
        """Features and their date for each customer; None for one the store does not know.

        Raises ProblemError 503 when the server is slow, down, or answers nonsense, such as values without a date.
        """
        answer = await self._ask(customers)
        try:
            columns = _columns(answer, len(customers))
            return [
                _looked_up({name: columns[name][i] for name in names})
                for i in range(len(customers))
            ]
        except (KeyError, IndexError, TypeError, ValueError):
            raise unavailable(AWAY) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _ask(self, customers: Sequence[str]) -> Any:
        import asyncio

        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout_s, trust_env=False)
        body = {"feature_service": self._service, "entities": {"customer_id": list(customers)}}
        try:
            async with asyncio.timeout(
                self._timeout_s
            ):  # httpx counts per read: a dripping server would never end
                response = await self._client.post(self._url, json=body, headers=self._headers)
                response.raise_for_status()
                return response.json()
        except (httpx.HTTPError, TimeoutError, ValueError):
            raise unavailable(AWAY) from None


Cell = tuple[Any, str, str]
NEVER = "1970-01-01T00:00:00Z"
"""The time of a value that was never written. Redis knows no absence: Feast calls its unknown customers too old."""


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
    """PRESENT is a value, NULL_VALUE says "missing", all NOT_FOUND is an unknown customer, the rest is a failure.

    Feast looks at no ttl here, or calls values OUTSIDE_MAX_AGE: how old they may be is the policy's to say.
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

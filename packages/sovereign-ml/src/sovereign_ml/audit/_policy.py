"""The endpoint policy: which jurisdiction classes may carry which payload; dated waivers; declared owners."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sovereign_ml.audit._mention import Payload
from sovereign_ml.jurisdictions import Jurisdiction

J = Jurisdiction
_EU = (
    J.LOCAL,
    J.EU_OWNED,
    J.EU_HQ_FOREIGN_OWNER,
    J.EU_HQ_US_NEXUS,
    J.ADEQUATE_NON_EU,
    J.SELF_DECLARED,
)
Reason = Annotated[str, Field(min_length=10)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AddressWaiver(_Strict):
    """Someone answers, until a date, for a host that the policy would refuse. ``host`` covers its subdomains."""

    host: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    payload: Payload
    owner: Annotated[str, Field(min_length=2)]
    reason: Reason
    until: date


class Declaration(_Strict):
    """Who stands behind a host that the provider table does not know; ``complete`` once every field is answered."""

    hostname: str
    complete: bool


def _default() -> dict[Payload, tuple[Jurisdiction, ...]]:
    """Data, models, metadata and telemetry stay in the EU or where an adequacy decision holds; code may come in."""
    return {payload: tuple(J) if payload is Payload.CODE else _EU for payload in Payload}


class AuditPolicy(_Strict):
    """The ``[audit]`` table of config.toml. A class not listed for a payload is refused for it."""

    allow: dict[Payload, tuple[Jurisdiction, ...]] = Field(default_factory=_default)
    waivers: tuple[AddressWaiver, ...] = ()
    fail_on: Literal["warning", "error"] = "error"
    exclude: tuple[str, ...] = ("tests/*", "docs/*")
    vulnerability_service: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""

    def allows(self, jurisdiction: Jurisdiction, payload: Payload) -> bool:
        """Whether this class may carry this payload."""
        return jurisdiction is J.LOCAL or jurisdiction in self.allow.get(payload, ())

    def waiver(self, host: str, payload: Payload) -> AddressWaiver | None:
        """The waiver for this host and payload, expired or not; of several the one that lasts longest."""
        fits = [row for row in self.waivers if row.payload == payload and _covers(row.host, host)]
        return max(fits, key=lambda row: row.until, default=None)


def declarations(model_card: Mapping[str, Any]) -> list[Declaration]:
    """The owner declarations of a parsed ``model_card.toml`` (``[[hosting.owner_declarations]]``)."""
    rows = model_card.get("hosting", {}).get("owner_declarations", ())
    return [
        Declaration(hostname=row["hostname"].lower(), complete=_answered(row))
        for row in rows
        if "hostname" in row
    ]


def _answered(row: Mapping[str, Any]) -> bool:
    """Every field is there and none of them is still a placeholder."""
    fields = [
        str(row.get(name, "")).strip().lower() for name in ("provider", "country", "parent", "date")
    ]
    return not any(field in {"", "?", "todo", "tbd", "fixme", "xxx"} for field in fields)


def declaration_for(host: str, declared: list[Declaration]) -> Declaration | None:
    """The most specific declaration that covers ``host``."""
    fits = [row for row in declared if _covers(row.hostname, host)]
    return max(fits, key=lambda row: len(row.hostname), default=None)


def _covers(name: str, host: str) -> bool:
    return host == name or host.endswith(f".{name}")

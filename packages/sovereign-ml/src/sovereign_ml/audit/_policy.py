"""Endpoint policy: jurisdiction classes per payload, dated waivers, and declared owners."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sovereign_ml.audit._payloads import Payload
from sovereign_ml.card.schema.base import is_open
from sovereign_ml.jurisdictions import (
    Jurisdiction,
    class_of_country,
    country_codes,
    covers,
    providers,
)

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


LONGEST: Final = timedelta(days=366)
"""Longest time for which somebody may waive a finding: a year, also with a leap day in it."""


def void_because(until: date, today: date) -> str:
    """Return why a waiver with this last day does not hold today, "" if it does."""
    if until < today:
        return f"ended on {until}"
    if until > today + LONGEST:
        return f"runs until {until}, and may run until {today + LONGEST} at most: one year"
    return ""


class LineWaiver(_Strict):
    """Responsibility of a person, until a date, for the findings of one line.

    The waiver stands in the comment of the line.
    """

    owner: Annotated[str, Field(min_length=2)]
    reason: Reason
    until: date


class AddressWaiver(LineWaiver):
    """Responsibility of a person, until a date, for a host that the policy would refuse.

    ``host`` covers its subdomains.
    """

    host: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    payload: Payload


class Declaration(_Strict):
    """Declared owner of a host that the provider table does not know.

    ``complete`` is True once every field is answered. ``country`` and ``parent_country`` are ISO
    codes and decide the class. ``problem`` names the field that is not answered.
    """

    hostname: str
    complete: bool
    provider: str = ""
    country: str = ""
    parent: str = ""
    parent_country: str = ""
    problem: str = ""

    @property
    def jurisdiction(self) -> Jurisdiction:
        """Return the class that follows from the countries.

        It is SELF_DECLARED where answers are open, or the countries are within the EEA.
        """
        if not self.complete or not self.country:
            return J.SELF_DECLARED
        return class_of_country(self.country, self.parent_country)


def _default() -> dict[Payload, tuple[Jurisdiction, ...]]:
    """Return the default rules for each payload.

    Data, models, metadata and telemetry stay in the EU or where an adequacy decision holds. Code
    may come from anywhere.
    """
    return {payload: tuple(J) if payload is Payload.CODE else _EU for payload in Payload}


class AuditPolicy(_Strict):
    """The ``[audit]`` table of config.toml. A class not listed for a payload is refused for it."""

    allow: dict[Payload, tuple[Jurisdiction, ...]] = Field(default_factory=_default)
    waivers: Annotated[
        tuple[AddressWaiver, ...], Field(description="addresses that are accepted until a day")
    ] = ()
    fail_on: Literal["warning", "error"] = "error"
    exclude: Annotated[
        tuple[str, ...], Field(description="files whose addresses are not judged")
    ] = ("tests/*", "docs/*")
    vulnerability_service: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""

    def allows(self, jurisdiction: Jurisdiction, payload: Payload) -> bool:
        """Return whether this class may carry this payload."""
        # What stays on this machine is handed to nobody.
        return jurisdiction is J.LOCAL or jurisdiction in self.allow.get(payload, ())

    def waiver(self, host: str, payload: Payload, today: date) -> AddressWaiver | None:
        """Return the waiver for this host and payload, whether it holds or not.

        Of several it is one that holds today, and of those the one that lasts longest.
        """
        fits = [row for row in self.waivers if row.payload == payload and covers(row.host, host)]
        return max(
            fits, key=lambda row: (not void_because(row.until, today), row.until), default=None
        )


def declarations(model_card: Mapping[str, Any]) -> list[Declaration]:
    """Return the owner declarations of a parsed ``model_card.toml``.

    They are its ``[[hosting.owner_declarations]]``.
    """
    rows = model_card.get("hosting", {}).get("owner_declarations", ())
    return [_declaration(row) for row in rows if "hostname" in row]


_OPEN = {"", "?", "todo", "tbd", "fixme", "xxx"}
_NO_PARENT = {"none", "no", "-", "itself", "keine", "keiner", "aucun"}
_US_NAMES = re.compile(
    r"\b(?:USA|United States|Delaware|California|New York|Texas)\b|\bU\.\s?S\.", re.IGNORECASE
)
_US_FORMS = re.compile(r"\b(inc|llc|corp|corporation|l\.p|incorporated)\b\.?", re.IGNORECASE)


def _declaration(row: Mapping[str, Any]) -> Declaration:
    answers = {
        name: str(row.get(name, "")).strip() for name in ("provider", "country", "parent", "date")
    }
    country = answers["country"].upper()
    problem = ""
    if any(_is_open(name, answer) for name, answer in answers.items()):
        problem = "has open answers"
    elif country not in country_codes():
        problem = f"names no country: {answers['country']!r}; write its ISO code, such as DE"
    parent = answers["parent"]
    return Declaration(
        hostname=str(row["hostname"]).lower(),
        complete=not problem,
        provider=answers["provider"],
        country="" if problem else country,
        parent="" if parent.lower() in _NO_PARENT else parent,
        parent_country=_country_of(parent) or _country_of(answers["provider"], by_form=False),
        problem=problem,
    )


def _is_open(name: str, answer: str) -> bool:
    """Return whether nothing was said: ``parent = "unknown"`` names no owner."""
    # NA is Namibia, and the list of countries judges that answer.
    if name == "country" or (name == "parent" and answer.lower() in _NO_PARENT):
        return answer.lower() in _OPEN
    return answer.lower() in _OPEN or is_open(answer)


def _country_of(name: str, *, by_form: bool = True) -> str:
    """Return the country of a parent.

    It is the code at the end (``Acme Corp (US)``), else that of the provider table, else that of
    its legal form.
    """
    if name.strip().lower() in _NO_PARENT:
        return ""
    match = re.search(r"(?:^|[(,\s])([A-Z]{2})\)?\s*$", name)
    # SA, SE and AG are legal forms too
    if match and match.group(1) in country_codes() - {"SA", "SE", "AG"}:
        return match.group(1)
    if _US_NAMES.search(name):
        return "US"
    plain = _plain(name)
    for row in providers():
        names = {_plain(row.name), _plain(row.parent.partition(",")[0])} - {""}
        # A beginning counts from two words on: one word may begin the name of another company.
        if plain in names or any(
            " " in provider_name and plain.startswith(provider_name) for provider_name in names
        ):
            us_parent = _US_FORMS.search(row.parent) is not None
            return "US" if us_parent else row.country
    return "US" if by_form and _US_FORMS.search(name) else ""


def _plain(name: str) -> str:
    """Return a company's name without its legal form, in lower case."""
    words = re.findall(r"\w+", name.casefold().replace(".com", ""))
    return " ".join(
        word
        for word in words
        if word
        not in {
            "inc",
            "llc",
            "corp",
            "corporation",
            "ltd",
            "gmbh",
            "sa",
            "se",
            "ag",
            "emea",
            "sarl",
        }
    )


def declaration_for(host: str, declared: list[Declaration]) -> Declaration | None:
    """Return the most specific declaration that covers ``host``."""
    fits = [row for row in declared if covers(row.hostname, host)]
    return max(fits, key=lambda row: len(row.hostname), default=None)


# Bounded, because a line of a generated file may have a megabyte.
_ON_LINE = re.compile(r"audit-waiver:\s*(.{0,400})")
_PART = re.compile(r"(owner|reason|until)\s*=\s*(\"[^\"]*\"|[^,;]+)")


def line_waiver(line: str) -> LineWaiver | str | None:
    """Read ``audit-waiver: owner=..., reason=..., until=2027-03-31`` from a line.

    Returns a text that names the mistake in a wrong one, and None where there is none.
    """
    match = _ON_LINE.search(line)
    if match is None:
        return None
    parts = {key: value.strip(" \"'*/->") for key, value in _PART.findall(match.group(1))}
    try:
        return LineWaiver.model_validate(parts)
    except ValidationError as error:
        names = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        return (
            f"it needs owner, reason (10 characters) and until (a date); wrong or missing: {names}"
        )

"""The tables ``[data]`` of config.toml: the team's files, their columns and plausible limits."""

from __future__ import annotations

import codecs
import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from sovereign_ml.config.profiles import ConfigTable, Count, Share

__all__ = [
    "CheckSettings",
    "CustomerColumns",
    "DataSettings",
    "EventTable",
    "ReaderSettings",
    "event_table_name",
]


def _needed(expression: str) -> str:
    if not expression.strip():
        raise ValueError(
            "this column is needed: give an SQL expression over the columns of your file"
        )
    return expression


def _text_encoding(name: str) -> str:
    """Return ``name`` if Python can read text in it. Empty means UTF-8, or the first bytes tell."""
    try:
        # Codecs such as base64 and zip are no encodings of text, and nothing else tells them apart.
        is_text = not name or codecs.lookup(name)._is_text_encoding
    except LookupError:
        is_text = False
    if not is_text:
        raise ValueError("no encoding of text that Python knows; such as utf-8, cp1252 or utf-16")
    # utf-8-sig also reads a file without a byte order mark.
    return "utf-8-sig" if name and codecs.lookup(name).name == "utf-8" else name


Needed = Annotated[str, AfterValidator(_needed)]


Duplicates = Literal["set_aside", "keep"]


Files = str | tuple[str, ...]
"""A file, a folder of Parquet files, a pattern such as ``sales-*.csv``, or a list of those."""


OneCharacter = Annotated[str, Field(max_length=1, pattern=r"^[^\r\n\x00]?$")]


# Words that shops write where no customer is known, in upper or lower case. 0 and guest stand for
# orders without an account.
NOBODY = (
    *("null", "(null)", "na", "n/a", "n.a.", "#n/a", "nan", "nat", "<na>", "none", "nil"),
    *("undefined", "\\N", "-", "--", "?", "0", "guest", "gast", "anonymous"),
    *("<null>", "(blank)", "not set", "(not set)", "unknown", "unbekannt", "inconnu"),
    *("#ref!", "#value!", "#name?", "#num!", "#div/0!", "#null!"),
    "00000000-0000-0000-0000-000000000000",
)


class ReaderSettings(ConfigTable):
    """The format of the team's files. An empty encoding or delimiter is detected from the file."""

    encoding: Annotated[str, AfterValidator(_text_encoding)] = ""
    delimiter: OneCharacter = ""
    quote: OneCharacter = '"'
    decimal: Literal[".", ","] = "."
    skip_lines: Annotated[int, Field(ge=0)] = 0
    names: tuple[str, ...] = ()
    """Names of the columns where the file has no header."""
    null_words: tuple[str, ...] = NOBODY

    @model_validator(mode="after")
    def _marks_differ(self) -> ReaderSettings:
        if self.delimiter and self.delimiter == self.quote:
            raise ValueError("delimiter and quote must be two characters")
        return self


class Columns(ConfigTable):
    """SQL expressions that map a team's transactions to the contract."""

    customer_id: Needed
    event_time: Needed
    amount_eur: Needed
    category: str = ""
    currency: str = ""
    order_id: str = ""


class CustomerColumns(ConfigTable):
    """SQL expressions that map a team's customers table. An empty one means "not there"."""

    customer_id: Needed
    consent: str = ""
    objected_at: str = ""
    restricted_at: str = ""
    withdrawn_at: str = ""
    erased_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    birth_year: str = ""
    country: str = ""


class ShopSettings(ConfigTable):
    """The built-in shop."""

    customers: Count
    days: Annotated[int, Field(ge=400)]
    seed: int
    old_features: bool = False
    """Whether the shop, which ends on a fixed day, is scored although its features are too old."""


class CheckSettings(ConfigTable):
    """Limits of plausible input in step 1, a policy. Shares are of rows read or remaining."""

    max_unusable_share: Share = 0.02
    max_share_of_reason: dict[
        Literal[
            "no_customer_id",
            "unreadable_filter",
            "unreadable_customer_id",
            "unreadable_category",
            "unreadable_order_id",
            "unreadable_kind",
            "unreadable_time",
            "no_rate",
            "unreadable_amount",
            "unreadable_value",
            "in_future",
        ],
        Share,
    ] = Field(default={})
    min_matched_customers: Share = 0.5
    max_similar_ids: Annotated[int, Field(ge=0)] = 0
    max_unmet_objectors: Annotated[int, Field(ge=0)] = 9
    max_negative_share: Share = 0.334
    max_one_customer_share: Share = 0.01
    max_below_a_cent_share: Share = 0.02
    max_parts_of_a_cent_share: Share = 0.33
    min_recent_volume: Share = 0.3
    max_rate_age_days: Count = 31


def _some_file(files: Files) -> Files:
    if not files or not all(files):
        raise ValueError("name a file, a pattern, a folder of Parquet files or a list of files")
    return files


class EventTable(ConfigTable):
    """``[data.events.NAME]``: further events of the customers.

    The columns are SQL expressions over the file. Keys that ``reader`` and ``checks`` leave out
    are as in ``[data.reader]`` and ``[data.checks]``.
    """

    file: Annotated[Files, AfterValidator(_some_file)]
    customer_id: Needed
    event_time: Needed
    kind: str = ""
    value: str = ""
    where: str = ""
    duplicates: Duplicates = "set_aside"
    max_days_behind: Count = 7
    """Days from the newest event to the newest purchase; more look like a feed that lags."""
    reader: ReaderSettings = ReaderSettings()
    checks: CheckSettings = CheckSettings()


def event_table_name(name: str) -> str:
    """Return ``name`` if an event table may have it, else raise ValueError."""
    # The name becomes that of a table in SQL.
    if name == "transactions" or not re.fullmatch(r"[a-z][a-z0-9_]{0,29}", name):
        raise ValueError(
            "name an event table in at most 30 small letters, digits and underscores, "
            "such as tickets; the transactions have a table already"
        )
    return name


class DataSettings(ConfigTable):
    """Input of step 1."""

    transactions: Files
    customers: Files
    lawful_basis: Literal[
        "", "consent", "contract", "legal_obligation", "legitimate_interests", "public_task"
    ]
    timezone: str
    as_of: date | Literal[""] = ""
    where: str = ""
    duplicates: Duplicates = "set_aside"
    reader: ReaderSettings = ReaderSettings()
    columns: Columns
    rates: dict[str, Annotated[float, Field(gt=0)]]
    rates_file: str = ""
    """A CSV file of rates that change: currency, date, rate."""
    customer_columns: CustomerColumns
    synthetic: ShopSettings
    checks: CheckSettings = CheckSettings()
    events: dict[Annotated[str, AfterValidator(event_table_name)], EventTable] = Field(default={})
    """Further events of the customers, each table under a name of its own."""

    # Before pydantic fills in defaults, since those would hide what a table leaves out.
    @model_validator(mode="before")
    @classmethod
    def _events_follow(cls, content: Any) -> Any:
        """Give each event table what it does not say itself of ``reader`` and ``checks``."""
        tables, shared = content.get("events"), ("reader", "checks")
        # What is no table is left to the check of its own key, whose message names it.
        if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
            return content
        inner = [t.get(key, {}) for t in (content, *tables.values()) for key in shared]
        if not all(isinstance(table, dict) for table in inner):
            return content
        events = {
            name: table | {key: content.get(key, {}) | table.get(key, {}) for key in shared}
            for name, table in tables.items()
        }
        return content | {"events": events}

    @property
    def asks_consent(self) -> bool:
        """Return whether the customers table has a column for consent, the lawful basis."""
        return bool(self.customers and self.customer_columns.consent)

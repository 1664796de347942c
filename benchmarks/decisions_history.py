"""Decision logs with a history: written through the log itself, and copied to PostgreSQL."""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from sovereign_ml.decision_log import DecisionLog, Draft, open_log
from sovereign_ml.decision_log.sqlite import SQLite

WAITING = 300
"""Cases that wait for a person, in both."""
BATCH = 1_000
REVIEWED = 10
"""One decision in so many goes to a person."""
PLANTED = 20
"""One review in so many is of a planted case."""
REVIEWERS = 5
FROM, UNTIL = datetime(2025, 1, 1), datetime(2025, 12, 31)
TABLES = (
    *("decision_log", "objections", "restrictions", "withdrawals"),
    *("erased", "open_reviews", "fact_counts"),
)


def fill(path: Path, bodies: list[dict[str, Any]], decisions: int) -> None:
    """Write ``decisions`` and their reviews through the log itself, over a year."""
    step = (UNTIL - FROM) / (decisions // BATCH)
    times = (f"{FROM + step * n:%Y-%m-%dT%H:%M:%S.%fZ}" for n in range(decisions // BATCH + 1))
    with closing(DecisionLog(SQLite(path), clock=lambda: next(times))) as log:
        for start in range(0, decisions, BATCH):
            drafts: list[Draft] = []
            for number in range(start, start + BATCH):
                body = bodies[number % len(bodies)]
                waits = number % REVIEWED == 0
                drafts.append(decision(number, body, waits=waits))
                if waits and number // REVIEWED < decisions // REVIEWED - WAITING:
                    drafts.append(review(number, drafts[-1], body))
            log.append(drafts)


def decision(number: int, body: dict[str, Any], *, waits: bool) -> Draft:
    """One decision about a person of their own, planted now and then."""
    kind: Any = "seed" if waits and number // REVIEWED % PLANTED == 0 else "decision"
    outcome = {"outcome": "pending_review"} if waits else {}
    text = json.dumps({**body, **outcome})
    return Draft(kind, secrets.token_hex(16), f"{number:016x}", text, opens_review=waits)


def review(number: int, about: Draft, body: dict[str, Any]) -> Draft:
    """The outcome of a person for one of them."""
    overruled = number // REVIEWED % 7 == 0
    outcome = "offer" if (body["suggestion"] == "offer") != overruled else "no_offer"
    content = {
        "outcome": outcome,
        "reason": "A seasonal buyer, nothing unusual.",
        "first_view": outcome,
        "seconds": 20 + number * 7919 % 900,
        "reviewer": f"reviewer-{number // REVIEWED % REVIEWERS}",
        "override": overruled,
        "seeded": about.kind == "seed",
    }
    return Draft("review", about.case_id, about.subject, json.dumps(content))


def copied(path: Path, server: str) -> str:
    """Put the rows of a SQLite log into a new database of ``server``; returns its address."""
    name = f"decisions_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    address = server.rsplit("/", 1)[0] + f"/{name}"
    open_log(address).close()
    with closing(sqlite3.connect(path)) as file, psycopg.connect(address) as connection:
        for table in TABLES:
            rows = file.execute(f"SELECT * FROM {table}")
            fields = ", ".join(column[0] for column in rows.description)
            with connection.cursor().copy(f"COPY {table} ({fields}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return address

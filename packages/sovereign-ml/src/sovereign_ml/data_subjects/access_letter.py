"""The answer to an access request as a page for the person who asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sovereign_ml.card.records.document import Document, Grid, Section
from sovereign_ml.card.render.speech import OPEN_TEXT
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.data_subjects.access_report import Access, DecisionHeld, Row

UNITS = {"D": "days", "W": "weeks", "M": "months", "Y": "years"}
NARROW = 6
"""Columns that fit beside each other on a page."""
KINDS = {
    "raw": "purchases",
    "groups": "country and birth year",
    "features": "features by day",
    "snapshots": "rows the model was trained or tested on",
    "dvc_versions": "older versions of the data",
    "runs": "records of training runs",
    "models": "models",
    "scores": "scores",
    "decisions": "decisions",
    "reviews": "reviews by a person",
    "notebooks": "analysts' notebooks",
    "copies": "copies such as this page",
}


def document(access: Access, title: str) -> Document:
    """The answer for people."""
    return Document(
        title=title,
        draft=False,
        about="What is held about you, what was concluded from it, and every decision. A copy for your own use.",
        source=f"Made {access.made_at:%Y-%m-%d %H:%M} UTC for the pseudonym {access.subject}",
        sections=(
            *_tables(
                "What you gave, GDPR Art. 15(1)(b), 15(3); yours to take along where Art. 20 applies",
                access.provided,
            ),
            *_tables("Computed about you, GDPR Art. 4(4), 15(1)(h)", access.profile),
            *(_one(decision) for decision in access.decisions),
            Section(
                "Your objection, restriction and withdrawal of consent",
                "GDPR Art. 21, 18, 7(3)",
                lines=(
                    CardLine("Objected", _cell(access.objected)),
                    CardLine("Processing restricted to storage", _cell(access.restricted)),
                    CardLine("Consent withdrawn", _cell(access.consent_withdrawn)),
                ),
            ),
            Section(
                "Where it comes from and who receives it",
                "GDPR Art. 15(1)(a), (c), (g)",
                lines=_general(access),
            ),
            Section(
                "How long it is kept",
                "GDPR Art. 15(1)(d)",
                grids=(_periods(access.retention),),
            ),
            Section("Your rights", "GDPR Art. 15(1)(e)-(f)", lines=_pairs(access.rights)),
        ),
    )


def _tables(article: str, tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    return [
        Section(
            name[:1].upper() + name[1:],
            article,
            grids=(_grid(rows),) if rows else (),
            lines=_none(rows),
        )
        for name, rows in tables.items()
    ]


def _none(rows: Sequence[Row]) -> tuple[CardLine, ...]:
    return () if rows else (CardLine("Held", "nothing"),)


def _grid(rows: Sequence[Row]) -> Grid:
    """Narrow tables read across; one row, or few wide ones, read down."""
    if len(rows) == 1:
        return Grid(
            ("What", "Value"),
            tuple((name.replace("_", " "), _cell(v)) for name, v in rows[0].items()),
        )
    names = tuple(name.replace("_", " ") for name in rows[0])
    cells = [tuple(_cell(value) for value in row.values()) for row in rows]
    if len(names) <= len(rows) or len(names) <= NARROW:
        return Grid(names, tuple(cells))
    head, *others = zip(names, *cells, strict=True)
    return Grid(head, tuple(others))


def _periods(retention: Mapping[str, str]) -> Grid:
    return Grid(
        ("Data", "Period"),
        tuple((KINDS.get(name, name), _in_words(text)) for name, text in retention.items()),
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        f"{value:,.2f}"
        if isinstance(value, float)
        else str(value).removesuffix("+00:00").removesuffix(" 00:00:00")
    )


def _one(decision: DecisionHeld) -> Section:
    lines = [
        CardLine(
            "Result",
            f"{decision.outcome.replace('_', ' ')} (score {_score(decision.score)}, band {decision.band})",
        ),
        CardLine("Model and policy", f"{decision.model_version}, policy {decision.policy_version}"),
        CardLine("What would have changed it", decision.what_would_change_it),
        *(CardLine("Later", f"{one['at'][:16]}: {one['kind']}") for one in decision.later),
    ]
    return Section(
        f"Decision of {decision.at[:16].replace('T', ' ')}",
        "GDPR Art. 15(1)(h); CJEU C-203/22",
        lines=tuple(line for line in lines if line.text),
        grids=(
            Grid(
                ("What counted, strongest first",), tuple((text,) for text in decision.influences)
            ),
        ),
    )


def _in_words(period: str) -> str:
    """``P36M from: purchase`` as a person would say it."""
    return re.sub(
        r"^P(\d+)([DWMY])(?= )", lambda found: f"{found[1]} {UNITS[found[2]]}", period
    ).replace("from:", "from")


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}"


def _general(access: Access) -> tuple[CardLine, ...]:
    named = {"Purpose": access.purposes, "Source": access.sources, "Recipient": access.recipients}
    return tuple(
        CardLine(label, text, open=text == OPEN_TEXT)
        for label, texts in named.items()
        for text in texts or ["none"]
    )


def _pairs(texts: Mapping[str, str]) -> tuple[CardLine, ...]:
    return tuple(
        CardLine(name[:1].upper() + name[1:], text, open=text == OPEN_TEXT)
        for name, text in texts.items()
    )

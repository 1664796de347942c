"""The answer to an access request as a page for the person who asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sovereign.card.records.document import Document, Grid, Section
from sovereign.card.render.view import Line
from sovereign.rights.access import Access, Decision, Row


def document(access: Access, title: str) -> Document:
    """The answer for people."""
    return Document(
        title=title,
        about="What is held about you, what was concluded from it, and every decision. A copy for your own use.",
        source=f"Made {access.made_at:%Y-%m-%d %H:%M} UTC for the pseudonym {access.subject}",
        sections=(
            *_tables("Yours to take along, GDPR Art. 15(1)(b), 15(3), 20", access.provided),
            *_tables("Computed about you, GDPR Art. 4(4), 15(1)(h)", access.profile),
            *(_one(decision) for decision in access.decisions),
            Section("Your objection", "GDPR Art. 21", lines=(Line("Objected", "yes" if access.objected else "no"),)),
            Section("Where it comes from and who receives it", "GDPR Art. 15(1)(a), (c), (g)", lines=_general(access)),
            Section(
                "How long it is kept",
                "GDPR Art. 15(1)(d)",
                grids=(Grid(("Data", "Period"), tuple(access.retention.items())),),
            ),
            Section("Your rights", "GDPR Art. 15(1)(e)-(f)", lines=_pairs(access.rights)),
        ),
    )


def _tables(article: str, tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    return [
        Section(name[:1].upper() + name[1:], article, grids=(_grid(rows),) if rows else (), lines=_none(rows))
        for name, rows in tables.items()
    ]


def _none(rows: Sequence[Row]) -> tuple[Line, ...]:
    return () if rows else (Line("Held", "nothing"),)


def _grid(rows: Sequence[Row]) -> Grid:
    """Few rows read across, one wide row reads down."""
    if len(rows) == 1:
        return Grid(("What", "Value"), tuple((name.replace("_", " "), _cell(v)) for name, v in rows[0].items()))
    head = tuple(name.replace("_", " ") for name in rows[0])
    return Grid(head, tuple(tuple(_cell(value) for value in row.values()) for row in rows))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.2f}" if isinstance(value, float) else str(value).removesuffix("+00:00")


def _one(decision: Decision) -> Section:
    lines = [
        Line("Result", f"{decision.outcome.replace('_', ' ')} (score {_cell(decision.score)}, band {decision.band})"),
        Line("Model and policy", f"{decision.model_version}, policy {decision.policy_version}"),
        Line("What would have changed it", decision.what_would_change_it),
        *(Line("Later", f"{one['at'][:16]}: {one['kind']}") for one in decision.later),
    ]
    return Section(
        f"Decision of {decision.at[:16].replace('T', ' ')}",
        "GDPR Art. 15(1)(h); CJEU C-203/22",
        lines=tuple(line for line in lines if line.text),
        grids=(Grid(("What counted, strongest first",), tuple((text,) for text in decision.influences)),),
    )


def _general(access: Access) -> tuple[Line, ...]:
    named = {"Purpose": access.purposes, "Source": access.sources, "Recipient": access.recipients}
    return tuple(Line(label, text) for label, texts in named.items() for text in texts or ["none"])


def _pairs(texts: Mapping[str, str]) -> tuple[Line, ...]:
    return tuple(Line(name[:1].upper() + name[1:], text) for name, text in texts.items())

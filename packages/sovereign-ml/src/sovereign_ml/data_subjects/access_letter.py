"""The answer to an access request as a page for the person who asked, in a language of the notice."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, time
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from sovereign_ml.card.records.document import Document, Grid, Section
from sovereign_ml.card.render.speech import OPEN_TEXT
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.data_subjects.access_report import Access, DecisionHeld, ReasonHeld, Row
from sovereign_ml.texts import ENGLISH, Catalogue

NARROW = 6
"""Columns that fit beside each other on a page."""
CODED = ("band", "group", "name")
"""Columns whose values are codes of the library: of a score, a campaign, a correction."""
DIGITS, MOST_DIGITS = 3, 9
"""Digits of a score after the mark, and of one beside a band that begins at more of them."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?)?")
"""A day, or a time in UTC, as tables have it."""
REASON = re.compile(r"reason_\d+")
"""Columns of the score table: single reasons, which may contradict each other. The letter gives joint ones."""


def document(access: Access, organisation: str, t: Catalogue = ENGLISH) -> Document:
    """Return the answer for people."""
    return Document(
        title=t("letter.title", organisation=organisation),
        draft=False,
        t=t,
        about=t("letter.about"),
        source=t("letter.source", at=t.day(access.made_at), subject=access.subject),
        sections=(
            *_short(access, t),
            *(_one(decision, access, t) for decision in access.decisions),
            _logic(access, t),
            *_tables("letter.gave", access.provided, t),
            *_tables("letter.computed", access.profile, t),
            Section(
                t("letter.objection"),
                t.cite("GDPR 21, 18, 7(3)"),
                lines=(
                    CardLine(t("letter.objected"), _cell(access.objected, t)),
                    CardLine(t("letter.restricted"), _cell(access.restricted, t)),
                    CardLine(t("letter.consent_withdrawn"), _cell(access.consent_withdrawn, t)),
                ),
            ),
            Section(
                t("letter.where"),
                t.cite("GDPR 15(1)(a), (c), (g); C-154/21"),
                lines=_general(access, t),
            ),
            Section(
                t("letter.how_long"),
                t.cite("GDPR 15(1)(d)"),
                grids=(_periods(access.retention, t),),
            ),
            Section(
                t("letter.rights"),
                t.cite("GDPR 15(1)(e)-(f)"),
                texts=(t("letter.rights_text"),),
                lines=(
                    *_pairs(access.rights, t),
                    _line(t("fields.authority"), access.authority, t),
                ),
            ),
        ),
    )


def _line(label: str, text: str, t: Catalogue) -> CardLine:
    return CardLine(label, text, open=text in (OPEN_TEXT, t("words.open")))


def _short(access: Access, t: Catalogue) -> list[Section]:
    """Return the newest decision in a few sentences, first of all."""
    if not access.decisions:
        return []
    newest = access.decisions[0]
    texts = [
        t(
            "letter.in_short_text",
            day=_day(newest.at, t),
            outcome=_result(newest, newest.final_outcome, t),
        ),
        t(f"decided_by.{newest.decided_by}"),
    ]
    if newest.adverse:
        texts.append(t("letter.adverse"))
    strongest = [reason for reason in newest.joint_reasons if reason.share > 0][:1]
    texts += [
        t("letter.strongest", inputs="; ".join(reason.inputs[:3]), effect=reason.effect)
        for reason in strongest
    ]
    return [Section(t("letter.in_short"), t.cite("GDPR 15(1)(h)"), texts=tuple(texts))]


def _result(decision: DecisionHeld, name: str, t: Catalogue) -> str:
    return decision.words.get(name) or t.code(name)


def _tables(key: str, tables: Mapping[str, Sequence[Row]], t: Catalogue) -> list[Section]:
    sections = []
    for name, rows in tables.items():
        kind, _, event_table = name.partition("events_")
        title = t(f"tables.{kind}events" if event_table else f"tables.{name}", name=event_table)
        grids = (_grid(rows, title, t),) if rows else ()
        lines = () if rows else (CardLine(t("letter.held"), t("letter.nothing")),)
        # Marks of consent and objection are the controller's own: Article 20 does not cover them.
        article = t(key).partition(";")[0] if name == "consent" else t(key)
        sections.append(Section(title, t.cite(article), grids=grids, lines=lines))
    return sections


def _grid(rows: Sequence[Row], title: str, t: Catalogue) -> Grid:
    """Return a table: narrow ones read across; one row, or few wide ones, read down."""
    rows = [
        {k: t.code(v) if k in CODED and v else v for k, v in row.items() if not REASON.fullmatch(k)}
        for row in rows
    ]
    # A column may mean less than the word elsewhere: the name in a correction is that of a column.
    own = {name: f"column_{name}" for name in rows[0] if t.knows(f"column_{name}")}
    names = tuple(t.input(name, t.code(own.get(name, name))) for name in rows[0])
    if len(rows) == 1:
        down = zip(names, (_cell(value, t, k) for k, value in rows[0].items()), strict=True)
        return Grid((t("heads.what"), t("heads.value")), tuple(down), title)
    cells = [tuple(_cell(value, t, k) for k, value in row.items()) for row in rows]
    if len(names) <= len(rows) or len(names) <= NARROW:
        return Grid(names, tuple(cells), title)
    head, *others = zip(names, *cells, strict=True)
    return Grid(head, tuple(others), title)


def _periods(retention: Mapping[str, str], t: Catalogue) -> Grid:
    heads = (t("heads.data"), t("heads.period"))
    rows = []
    for name, rule in retention.items():
        period, _, start = rule.partition(" from: ")
        text = t("letter.period", period=t.period(period), start=t(f"events.{start}"))
        rows.append((t(f"classes.{name}"), text))
    return Grid(heads, tuple(rows), t("letter.how_long"))


def _cell(value: object, t: Catalogue, column: str = "") -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return t("words.yes" if value else "words.no")
    if isinstance(value, float):
        return _score(value, DIGITS, t) if column == "score" else _amount(value, t)
    return _moment(str(value), t)


def _amount(value: float, t: Catalogue) -> str:
    """Return a number with two digits after the mark, and up to four for a small one."""
    digits = 2 if abs(value) >= 1 or math.isclose(value, round(value, 2), abs_tol=1e-9) else 4
    return t.number(value, digits)


def _moment(text: str, t: Catalogue) -> str:
    """Return a day or time of a table (UTC) in words, and any other text as it is."""
    if not MOMENT.fullmatch(text):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    # A day ends in midnight, which tells the person nothing.
    midnight = moment.time() == time()
    day = t.day(moment.date())
    return day if midnight else f"{day}, {moment:%H:%M:%S} UTC"


def _score(value: float, digits: int, t: Catalogue) -> str:
    # Rounded up, a score just below a band would seem to be in it.
    step = Decimal(1).scaleb(-digits)
    return t.number(float(Decimal(str(value)).quantize(step, ROUND_FLOOR)), digits)


def _digits(begins: Collection[float]) -> int:
    """Return the digits after the mark with which a score shows on which side of a band it is."""
    exponents = [Decimal(str(start)).normalize().as_tuple().exponent for start in begins]
    return min(MOST_DIGITS, max([DIGITS, *(-int(exponent) for exponent in exponents)]))


def _day(at: str, t: Catalogue) -> str:
    return t.day(datetime.fromisoformat(at))


def _one(decision: DecisionHeld, access: Access, t: Catalogue) -> Section:
    digits = _digits(decision.begins.values())
    score = t("words.none") if decision.score is None else _score(decision.score, digits, t)
    band = t("words.none") if decision.band is None else t.code(decision.band)
    begins = ", ".join(
        t(
            "letter.from",
            band=t.code(name),
            score=t.number(start, digits if round(start, 2) != start else 2),
        )
        for name, start in decision.begins.items()
    )
    result = _result(decision, decision.final_outcome, t)
    lines = [
        CardLine(
            t("letter.outcome"), t("words.adverse", outcome=result) if decision.adverse else result
        ),
        CardLine(t("letter.decided"), t(f"decided_by.{decision.decided_by}")),
        CardLine(t("letter.score"), t("letter.score_text", score=score, band=band)),
        CardLine(t("letter.bands"), begins),
        CardLine(t("letter.change"), decision.what_would_change_it),
        *(_later(step, decision, t) for step in decision.later),
        CardLine(t("letter.versions"), f"{decision.model_version}, {decision.policy_version}"),
    ]
    if decision.outcome != decision.final_outcome:
        first = CardLine(t("letter.first"), _result(decision, decision.outcome, t))
        lines.insert(1, first)
    return Section(
        t("letter.decision", at=_day(decision.at, t)),
        t.cite("GDPR 15(1)(h); C-203/22"),
        lines=tuple(line for line in lines if line.text),
        grids=(_reasons(decision.joint_reasons, t),) if decision.joint_reasons else (),
    )


def _later(step: Mapping[str, Any], decision: DecisionHeld, t: Catalogue) -> CardLine:
    """Return what happened to a decision later: the person's own words, or a reviewer's outcome and reason."""
    text = step.get("view") or step.get("reason") or step.get("text") or ""
    if step.get("outcome"):
        result = _result(decision, str(step["outcome"]), t)
        text = f"{result}: {text}" if text else result
    label = t(f"steps.{step['kind']}", at=_day(str(step["at"]), t))
    return CardLine(label, str(text) or t("words.none"))


def _reasons(reasons: Sequence[ReasonHeld], t: Catalogue) -> Grid:
    rows = [
        (
            "; ".join(reason.inputs),
            t("letter.together", effect=reason.effect) if len(reason.inputs) > 1 else reason.effect,
            f"{100 * reason.share:.0f} %",
        )
        for reason in reasons
    ]
    heads = (t("heads.inputs_values"), t("heads.effect"), t("heads.weight"))
    return Grid(heads, tuple(rows), t("letter.reasons"))


def _logic(access: Access, t: Catalogue) -> Section:
    grids = (_reasons(access.score_reasons, t),) if access.score_reasons else ()
    return Section(
        t("letter.logic"),
        t.cite("GDPR 15(1)(h); C-203/22"),
        texts=(t("notice.profiled"), t("notice.logic"), t("letter.human")),
        lines=_pairs(access.logic, t),
        grids=grids,
    )


def _general(access: Access, t: Catalogue) -> tuple[CardLine, ...]:
    named = {"purposes": access.purposes, "sources": access.sources}
    lines = [
        _line(t(f"letter.{label}"), text, t)
        for label, texts in named.items()
        for text in texts or [t("words.none")]
    ]
    lines += _pairs(access.bases, t)
    receivers = access.recipients or [t("words.none")]
    return (*lines, *(_line(t("letter.recipients"), text, t) for text in receivers))


def _pairs(texts: Mapping[str, str], t: Catalogue) -> tuple[CardLine, ...]:
    return tuple(_line(name, text, t) for name, text in texts.items())

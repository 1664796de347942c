"""Document from the card: texts, statements and tables, as HTML for print and as data."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from sovereign_ml.card.render.html import template
from sovereign_ml.card.render.speech import OPEN_TEXT
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.texts import ENGLISH, Catalogue

SIGNERS: Final = ("page.controller", "page.dpo")


@dataclass(frozen=True)
class Grid:
    """A table. A cell that reads ``OPEN_TEXT`` is an open point.

    ``title`` names it for readers who hear it.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclass(frozen=True)
class Section:
    """One part of a document. ``texts`` are its paragraphs.

    ``boxed`` sets it apart from the rest (GDPR 21(4)). ``number`` is its place in a layout that is
    not ours, such as 1.2. Without one the sections are counted.
    """

    title: str
    article: str
    lines: tuple[CardLine, ...] = ()
    grids: tuple[Grid, ...] = ()
    points: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    boxed: bool = False
    number: str = ""


@dataclass(frozen=True)
class Document:
    """A whole document.

    ``points`` of its sections are things for the data protection officer to look at. A ``draft`` is
    written from the card for signature. A receipt or an answer to a person is no draft. ``bound``
    says which content it was written from.
    """

    title: str
    about: str
    source: str
    sections: tuple[Section, ...]
    draft: bool = True
    t: Catalogue = ENGLISH
    bound: dict[str, str] = field(default_factory=dict)

    @property
    def open_points(self) -> tuple[str, ...]:
        """Return every open statement, cell and point, with the section that it stands in."""
        points = []
        for section in self.sections:
            names = [line.label for line in section.lines if line.open]
            names += [
                " · ".join(filter(None, (_other(grid.title, section.title), _known(row[0]), head)))
                for grid in section.grids
                for row in grid.rows
                for head, cell in zip(grid.head, row, strict=False)
                if cell == OPEN_TEXT
            ]
            points += [f"{section.title}: {name}" for name in names]
            points += list(section.points)
        return tuple(points)

    @property
    def open(self) -> int:
        """Return how many points are open."""
        return len(self.open_points)


def _other(title: str, section: str) -> str:
    return "" if title == section else title


def _known(cell: str) -> str:
    return "" if cell == OPEN_TEXT else cell


def to_html(document: Document) -> str:
    """Return one self-contained page for screen and paper."""
    return template("record.html.j2").render(
        document=document, t=document.t, open_text=OPEN_TEXT, signers=SIGNERS
    )


def to_data(document: Document) -> dict[str, Any]:
    """Return the document for another program.

    It holds what the document is bound to, its open points and its sections.
    """
    return {
        "title": document.title,
        "about": document.about,
        "language": document.t.language,
        "bound_to": document.bound,
        "open_points": list(document.open_points),
        "sections": [asdict(_in_words(section, document.t)) for section in document.sections],
    }


def _in_words(section: Section, t: Catalogue) -> Section:
    """Return a section whose open cells say so in the language of the document."""
    grids = []
    for grid in section.grids:
        rows = (tuple(t("words.open") if c == OPEN_TEXT else c for c in row) for row in grid.rows)
        grids.append(replace(grid, rows=tuple(rows)))
    return replace(section, grids=tuple(grids))


def to_csv(document: Document) -> str:
    """Return the statements and cells of a document as CSV.

    The columns are section, article, label, value and openness.
    """
    rows: list[tuple[object, ...]] = []
    for section in document.sections:
        place = (section.title, section.article)
        rows += [(*place, line.label, line.text, line.open) for line in section.lines]
        for grid, worded in zip(section.grids, _in_words(section, document.t).grids, strict=True):
            for row, texts in zip(grid.rows, worded.rows, strict=True):
                for head, cell, text in zip(grid.head[1:], row[1:], texts[1:], strict=False):
                    rows.append((*place, f"{texts[0]}: {head}", text, cell == OPEN_TEXT))
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("section", "article", "what", "value", "open"))
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return written.getvalue()


def _harmless(cell: object) -> str:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    text = str(cell)
    return f"'{text}" if text[:1] in "=+-@\t\r\n" else text

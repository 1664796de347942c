"""A record as a document: sections of statements and tables, written as Markdown and as HTML for print."""

from __future__ import annotations

from dataclasses import dataclass

from sovereign_ml.card.render.html import template
from sovereign_ml.card.render.markdown import bullets, escape
from sovereign_ml.card.render.speech import OPEN_TEXT, said
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.card.schema import Card


@dataclass(frozen=True)
class Grid:
    """A table; a cell that reads ``OPEN_TEXT`` is an open point."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One letter of the article: what it demands and what the card says about it."""

    title: str
    article: str
    lines: tuple[CardLine, ...] = ()
    grids: tuple[Grid, ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole record. ``points`` of its sections are things for the data protection officer to look at.

    A ``draft`` is written from the card for signature; a receipt or an answer to a person is not.
    """

    title: str
    about: str
    source: str
    sections: tuple[Section, ...]
    draft: bool = True

    @property
    def open(self) -> int:
        """How many statements, cells and points are open."""
        lines = sum(line.open for section in self.sections for line in section.lines)
        cells = sum(
            OPEN_TEXT in row for s in self.sections for grid in s.grids for row in grid.rows
        )
        return lines + cells + sum(len(section.points) for section in self.sections)


def source_of(card: Card) -> str:
    """Which card a record was written from."""
    version = f", version {card.facts.model.version}" if card.facts.model.version else ""
    hashed = f", content SHA-256 {card.content_hash[:16]}" if card.content_hash else ""
    return f"Written from the model card of {card.id}{version}{hashed}, law as of {said(card.law_snapshot)}."


def to_html(document: Document) -> str:
    """One self-contained page for screen and paper."""
    return template("record.html.j2").render(document=document, open_text=OPEN_TEXT)


def to_markdown(document: Document) -> str:
    """Markdown with open points in bold."""
    sections = "\n\n".join(_section(section) for section in document.sections)
    head = f"# {escape(document.title)}\n\n{escape(document.about)}\n\n**Open points: {document.open}.** "
    return f"{head}{escape(document.source)}\n\n{sections}\n"


def _section(section: Section) -> str:
    parts = [f"## {escape(section.title)}\n\n{escape(section.article)}"]
    if section.lines:
        parts.append(bullets(section.lines))
    parts += [_grid(grid) for grid in section.grids]
    if section.points:
        parts.append("\n".join(f"- **OPEN** {escape(point)}" for point in section.points))
    return "\n\n".join(parts)


def _grid(grid: Grid) -> str:
    rows = [[_cell(cell) for cell in row] for row in grid.rows]
    lines = [[escape(name) for name in grid.head], ["---"] * len(grid.head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return f"**OPEN** {escape(text)}" if text == OPEN_TEXT else escape(text)

"""The four files of a card, each replaced as a whole.

A file that is linked to a cache is never changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sovereign_ml.card.render.cdx import render_cyclonedx
from sovereign_ml.card.render.html import render_html
from sovereign_ml.card.render.markdown import render_markdown
from sovereign_ml.card.rules.engine import Finding
from sovereign_ml.card.schema import Card

FILES: Final = ("card.json", "card.md", "card.html", "card.cdx.json")


def write(card: Card, folder: Path, findings: Sequence[Finding]) -> None:
    """Write ``FILES`` into ``folder``.

    ``findings`` are what the rules said about this card, for the readers of page and Markdown.
    """
    texts = (
        card.model_dump_json(indent=2) + "\n",
        render_markdown(card, findings),
        render_html(card, findings=findings),
        render_cyclonedx(card),
    )
    for name, text in zip(FILES, texts, strict=True):
        # Writing in place would change the cached copy behind a link.
        side = folder / f".{name}.part"
        side.write_text(text, encoding="utf-8")
        side.replace(folder / name)

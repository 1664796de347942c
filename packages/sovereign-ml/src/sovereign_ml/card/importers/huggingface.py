"""Hugging Face model cards: front matter and chapters.

The front matter is YAML. The chapters are those of the hub's templates, old and new.
"""

from __future__ import annotations

import re
from typing import Final

from sovereign_ml.card.importers.front_matter import read_yaml
from sovereign_ml.card.importers.leaves import MOST_LEAVES, Parsed, leaves_of, merged

FRONT: Final = re.compile(r"^\s{0,50}---\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
PLACEHOLDER: Final = "[More Information Needed]"
# A card from a stranger has to be answered within a second, whatever is in it.
LONGEST: Final = 1_000_000

MAPPING: Final = {
    "model_name": "compare",
    "library_name": "compare",
    "pipeline_tag": "compare",
    "metrics": "compare",
    "model-index*": "compare",
    "base_model": "model.base_model",
    "datasets": "data.sources",
}
_USES = "purpose.specific_uses"
_NOT = "purpose.out_of_scope_uses"
_LIMITS = "evaluation.limitations"
CHAPTERS: Final = {
    **dict.fromkeys(("purpose", "intended purpose"), "purpose.statement"),
    **dict.fromkeys(
        (
            "direct use",
            "uses",
            "intended use",
            "intended uses",
            "primary intended uses",
            "primary intended use",
            "intended uses and limitations",
            "how to use it",
            "use cases",
            "direct uses",
        ),
        _USES,
    ),
    **dict.fromkeys(
        (
            "out-of-scope use",
            "out-of-scope uses",
            "out of scope use",
            "out of scope uses",
            "out-of-scope use cases",
            "misuse and out-of-scope use",
            "misuse, malicious use, and out-of-scope use",
            "prohibited uses",
        ),
        _NOT,
    ),
    **dict.fromkeys(
        (
            "limitations",
            "bias, risks, and limitations",
            "bias, risks and limitations",
            "limitations and bias",
            "limitations and biases",
            "risks and limitations",
            "risks, limitations and biases",
            "known limitations",
            "bias and limitations",
            "bias",
            "caveats and recommendations",
            "limitation",
        ),
        _LIMITS,
    ),
    **dict.fromkeys(
        ("ethical considerations", "ethical considerations and limitations", "risks"), "dpia.risks"
    ),
    **dict.fromkeys(
        (
            "training data",
            "training dataset",
            "training hyperparameters",
            "training procedure",
            "metrics",
            "results",
            "evaluation",
            "evaluation results",
            "model description",
            "hyperparameters",
            "evaluation data",
            "testing data",
        ),
        "compare",
    ),
    **dict.fromkeys(("model card contact", "contact", "model card authors"), "roles.owner_model"),
}
"""Chapter titles after ``plain_title``, in the spellings of the hub's templates, skops and common
cards."""


def recognises(text: str) -> bool:
    """Return whether ``text`` is a card of this format.

    It opens with YAML front matter, or it is Markdown with a chapter that cards have.
    """
    if FRONT.match(text) is not None:
        return True
    # JSON and XML belong to the other readers.
    if text.lstrip()[:1] in ("", "{", "[", "<"):
        return False
    # Possessive (*+), so that a line of blanks costs linear and not quadratic time.
    titles = re.findall(r"^#{1,6}[ \t]*+([^\n]{1,80})$", text[:LONGEST], re.MULTILINE)
    return any(plain_title(title) in CHAPTERS for title in titles)


def parse(text: str) -> Parsed:
    """Return the parsed front matter and chapters.

    Raises ValueError when the front matter is not a YAML mapping.
    """
    match = FRONT.match(text)
    front = read_yaml(match[1]) if match else {}
    front = {} if front in (None, "") else front
    if not isinstance(front, dict):
        raise ValueError(f"the front matter must be a YAML mapping, seen {type(front).__name__}")
    sections = _chapters(text[match.end() :] if match else text)
    mapping = MAPPING | {key: CHAPTERS[title] for key, title, _ in sections if title in CHAPTERS}
    leaves = merged(leaves_of(front), {key: body for key, _, body in sections})
    tags = front.get("tags") or ()
    tags = [tags] if isinstance(tags, str) else tags
    status = [str(tag) for tag in tags if str(tag).startswith("card-status-")]
    return Parsed("hf", leaves, mapping, foreign_status=", ".join(status))


def plain_title(title: str) -> str:
    """Return a heading in lower case without numbers, marks and links around it."""
    plain = re.sub(r"\[([^\]]{0,200})\]\([^)]{0,300}\)", r"\1", title[:300]).casefold()
    plain = (
        re.sub(r"[*_`#:]", "", plain).replace("&", "and").replace("(s)", "s").replace("(es)", "es")
    )
    return " ".join(re.sub(r"^[^a-zäöü]{0,20}", "", plain).split())


def _chapters(body: str) -> list[tuple[str, str, str]]:
    """Return ``(leaf, plain title, text)`` of each chapter.

    The text is cut at real headings: a comment in a code block is none. A card whose code block
    never ends is one chapter without a title.
    """
    if len(body) > LONGEST:
        raise ValueError(f"the text is longer than {LONGEST:,} characters; a model card is not")
    if body.count("\n#") > MOST_LEAVES:
        raise ValueError(f"more than {MOST_LEAVES:,} chapters; a model card has fewer")
    # CommonMark ends a line at these only. Other separators, such as U+2028 or a form feed, stand
    # within a line, and to cut there too would move every text after it under another heading.
    lines = re.split(r"\r\n?|\n", body)
    chapters: list[tuple[str, str, str]] = []
    counts: dict[str, int] = {}
    start, title = 0, ""
    for first, last, heading in [*_headings(body, lines), (len(lines), len(lines), "")]:
        text = "\n".join(lines[start:first]).strip()
        if (text or title) and text != PLACEHOLDER:
            leaf = f"body.{title}" if title else "body"
            counts[leaf] = counts.get(leaf, 0) + 1
            # Two chapters with one title are two leaves, of which none may be lost.
            mark = "'" * (counts[leaf] > 1) + (str(counts[leaf]) if counts[leaf] > 2 else "")
            chapters.append((leaf + mark, plain_title(title), text))
        start, title = last, heading
    return chapters


def _headings(body: str, lines: list[str]) -> list[tuple[int, int, str]]:
    """Return first line, line after and text of each heading, as CommonMark sees them."""
    from markdown_it import MarkdownIt

    # chapters need blocks only; without these rules the time grows with the length and not faster
    tokens = (
        MarkdownIt("commonmark").disable(["inline", "text_join", "reference", "list"]).parse(body)
    )
    headings = []
    for place, token in enumerate(tokens):
        if token.type == "fence" and token.map:
            last = lines[token.map[1] - 1].strip() if token.map[1] <= len(lines) else ""
            # A fence that never ends swallows every heading after it.
            if not last.startswith(token.markup) or token.map[1] - token.map[0] < 2:
                return []
        if token.type == "heading_open" and token.level == 0 and token.map:
            title = tokens[place + 1].content.strip()[:200]
            headings.append((token.map[0], token.map[1], title))
    return headings

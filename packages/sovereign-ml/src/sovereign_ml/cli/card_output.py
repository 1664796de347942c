"""The card as its commands read and print it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from sovereign_ml.errors import Misuse

if TYPE_CHECKING:
    from pathlib import Path

    from sovereign_ml.card.rules import Finding, OwnRules
    from sovereign_ml.card.schema.model_card import Card
    from sovereign_ml.config.settings import Settings
    from sovereign_ml.decisions.rule_policy import RulePolicy


def now() -> datetime:
    """Return the time of a decision or a move, in UTC."""
    return datetime.now(UTC)


def read_card(settings: Settings) -> Card:
    """Return the card as step 6 wrote it, with the approvals recorded so far."""
    from sovereign_ml.card.build import CardError
    from sovereign_ml.registry import approvals

    card = read_card_file(settings)
    try:
        return approvals.signed(card, settings.root, settings.rule_policy)
    except CardError as error:
        raise Misuse(str(error)) from None


def read_card_file(settings: Settings) -> Card:
    """Return the card as step 6 wrote it. Raises Misuse where it is missing or another version."""
    from pydantic import ValidationError

    from sovereign_ml.card.schema.model_card import read

    path = settings.path("card") / "card.json"
    try:
        return read(path)
    except FileNotFoundError:
        raise Misuse(f"{path} does not exist: run `churn card` first.") from None
    except ValidationError as error:
        raise Misuse(
            f"{path} is no card of this version ({error.error_count()} errors): "
            "run `churn card` again."
        ) from None


def own_rules(settings: Settings) -> OwnRules:
    """Return the rules that the project adds to those of the library."""
    from sovereign_ml.pipeline.card_facts.own_rules import load_own_rules
    from sovereign_ml.project import load_project

    return load_own_rules(load_project(settings.root))


def rebuilt(settings: Settings) -> Card:
    """Return the card with the present answers and the facts of the last run, if there was one."""
    from sovereign_ml.card.build import CardError, build, read_answers
    from sovereign_ml.card.schema.facts import Facts

    exists = (settings.path("card") / "card.json").exists()
    # Before the first run there are no facts, and the questions can be listed all the same.
    facts = read_card(settings).facts if exists else Facts()
    try:
        return build(
            facts, read_answers(settings.root / "model_card.toml"), card_id=settings.project.name
        )
    except CardError as error:
        raise Misuse(str(error)) from None


def bundled_version(bundle: Path) -> str:
    """Return the registry version that the bundle of step 7 names."""
    path = bundle / "bundle.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["version"])
    except FileNotFoundError:
        raise Misuse(
            f"{path} does not exist: run `churn register` first, or name --version."
        ) from None


def still_wanted(card: Card, roles: Sequence[str]) -> str:
    """Return the next action of the person at the keyboard."""
    from sovereign_ml.card.approval import problems

    missing = list(problems(card, roles))
    return " ".join(missing) if missing else "All approvals are there: `churn promote` is next."


def print_findings(card: Card, findings: list[Finding], policy: RulePolicy, own: OwnRules) -> None:
    """Print the findings as a table, the lines to paste, and the state of the card."""
    from sovereign_ml.card.render.hurdles import hurdles

    rows = [
        (row.rule, row.effect, row.article, row.found, row.do) for row in hurdles(card, findings)
    ]
    show(("rule", "", "article", "found", "what to do"), rows)
    print_lines_to_paste("\n".join(finding.paste for finding in findings if finding.paste))
    verdict = _verdict(card, findings, policy, own)
    typer.echo(f"Card {card.content_hash[:12]}: {card.status}. {verdict}")


def print_lines_to_paste(lines: str) -> None:
    """Print lines that ``model_card.toml`` needs because of another answer, if there are any."""
    if lines:
        typer.echo(f"Another answer requires these. Paste them into model_card.toml:\n\n{lines}\n")


def warn_if_outdated(card: Card, current: Card) -> None:
    """Warn if ``current``, built with the answers as they are now, is another card."""
    if current.content_hash != card.content_hash:
        typer.echo(
            "model_card.toml or the template changed since the card was written: run `churn card`.",
            err=True,
        )


def _verdict(card: Card, findings: list[Finding], policy: RulePolicy, own: OwnRules) -> str:
    """Return the state of the card on its way to production, in a sentence."""
    from sovereign_ml.card.render.hurdles import hurdles, in_short
    from sovereign_ml.card.rules import blocks, check

    ahead = check(card, policy, now().date(), at="promote", own=own)
    if not findings and not ahead:
        return "No finding."
    summary = in_short(hurdles(card, ahead))
    hint = (
        "" if blocks(findings) or not blocks(ahead) else " (`churn check --promotion` shows them)"
    )
    return f"{summary[:1].upper()}{summary[1:]}{hint}."


def show(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table on a terminal, or tab-separated lines when piped."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # Rich would colour every number and path in a text by its own rules.
    out = Console(highlight=False)
    if not out.is_terminal:
        for row in rows:
            typer.echo("\t".join(row))
        return
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        # Text in square brackets would be markup for Rich.
        table.add_row(*map(escape, row))
    if rows:
        out.print(table)

"""churn check, approve, promote: what the card's rules find, who approves, and the move to production."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from churn.errors import Misuse, Refused

if TYPE_CHECKING:
    from churn.settings import Settings
    from churn.tools.registry import MlflowRegistry
    from sovereign.card.promotion import Decision
    from sovereign.card.rules import Finding
    from sovereign.card.schema.card import Approval, Card

app = typer.Typer()
PANEL = "The card"
ProfileOption = Annotated[str | None, typer.Option(help="local or eu; default: CHURN_PROFILE, else local.")]
AsOption = Annotated[str, typer.Option("--as", help="First and last name of the person, e.g. 'Ada Lovelace'.")]


class Role(StrEnum):
    """Who may approve. The data protection officer gives an opinion in model_card.toml instead."""

    business_owner = "business_owner"
    model_owner = "model_owner"
    legal = "legal"
    security = "security"


@app.command(rich_help_panel=PANEL)
def check(
    promotion: Annotated[bool, typer.Option("--promotion", help="As strictly as `churn promote`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Run every rule over the card; exit 1 if one blocks."""
    from sovereign.card.rules import blocks
    from sovereign.card.rules import check as run_rules

    settings = _settings(profile)
    card = _card(settings)
    findings = run_rules(card, settings.rule_policy, _now().date(), at="promote" if promotion else "register")
    if as_json:
        rows = [finding.model_dump() for finding in findings]
        typer.echo(json.dumps({"status": card.status, "findings": rows}, indent=2, ensure_ascii=False))
    else:
        _print_findings(settings, card, findings)
    if blocking := blocks(findings):
        raise Refused(f"Blocked by {', '.join(sorted({finding.rule for finding in blocking}))}.")


@app.command(rich_help_panel=PANEL)
def approve(
    role: Annotated[Role, typer.Option(help="The role in which the person decides.")],
    person: AsOption,
    reject: Annotated[bool, typer.Option("--reject", help="Record a rejection.")] = False,
    comment: Annotated[str, typer.Option(help="Kept with the decision.")] = "",
    profile: ProfileOption = None,
) -> None:
    """Record that a named person approves (or rejects) this very card; commit the file afterwards."""
    from churn import governance

    settings = _settings(profile)
    card = _card(settings)
    made = _recorded(settings, card, role.value, person, "reject" if reject else "approve", comment)
    signed = governance.signed(card, settings)
    governance.publish(signed, settings)
    verb = "rejects" if reject else "approves"
    typer.echo(f"{made.person} {verb} card {made.card_hash[:12]} as {made.role}. {_still_wanted(signed, settings)}")
    typer.echo(f"Commit {governance.APPROVALS}. The signatures stand in {settings.paths.card}/card.html.")


@app.command(rich_help_panel=PANEL)
def promote(
    person: Annotated[str, typer.Option("--as", help="Who, first and last name.", prompt="First and last name")],
    why: Annotated[str, typer.Option(help="Why; kept in the registry's history.", prompt="Why")],
    back: Annotated[bool, typer.Option("--rollback", help="Return to the version before.")] = False,
    version: Annotated[str, typer.Option(help="Registry version; default: the one in the bundle.")] = "",
    profile: ProfileOption = None,
) -> None:
    """Make a registered version production, if rules, approvals, metric and data allow it."""
    from churn.tools.registry import MlflowRegistry
    from sovereign.card import promotion

    settings = _settings(profile)
    registry = MlflowRegistry(settings)
    if back:
        _announce(promotion.rollback(registry, by=person, why=why, at=_now()), settings)
        return
    card, wanted = _card(settings), version or _bundled(settings)
    policy = settings.rule_policy
    _announce(
        promotion.promote(registry, card, policy, version=wanted, by=person, why=why, at=_now()),
        settings,
    )
    _show_signed(card, wanted, registry, settings)


def list_open(settings: Settings) -> None:
    """Print what people still have to answer in ``model_card.toml``, with the article, and how far they are."""
    from sovereign.card.questions import open_questions, paste, progress

    card = _rebuilt(settings)
    questions, done = open_questions(card), progress(card)
    _show(("answer", "question", "source"), [(q.path, q.text, q.source) for q in questions])
    if lines := paste(card, questions):
        typer.echo(f"An answer made these necessary; paste them into model_card.toml:\n\n{lines}\n")
    typer.echo(f"{done.answered} of {done.required} questions answered, {len(questions)} open.")


def _recorded(
    settings: Settings, card: Card, role: str, person: str, decision: Literal["approve", "reject"], comment: str
) -> Approval:
    from churn.governance import APPROVALS
    from sovereign.card import approval

    try:
        made = approval.approve(card, role=role, person=person, at=_now(), decision=decision, comment=comment)
    except approval.ApprovalError as error:
        raise Refused(str(error)) from None
    approval.record(settings.root / APPROVALS, made)
    return made


def _still_wanted(card: Card, settings: Settings) -> str:
    """What the person at the keyboard does next."""
    from sovereign.card.approval import problems

    left = list(problems(card, settings.rule_policy.approval_roles))
    return " ".join(left) if left else "All approvals are there: `churn promote` is next."


def _show_signed(card: Card, version: str, registry: MlflowRegistry, settings: Settings) -> None:
    """The signatures, in every copy of the card. Production has moved already, so a failure here only warns."""
    from churn import governance
    from churn.tools import bundles
    from sovereign.card.promotion import RegistryError

    governance.publish(card, settings)
    try:
        registry.keep_card(version, settings.path("card"))
        bundles.sign(settings, version, settings.path("card"))
    except (RegistryError, Refused, Misuse) as error:
        typer.echo(f"The registry still has the card without signatures: {error}", err=True)


def _settings(profile: str | None) -> Settings:
    from churn import settings

    return settings.load(profile)


def _now() -> datetime:
    return datetime.now(UTC)


def _card(settings: Settings) -> Card:
    """The card as step 6 wrote it, with the approvals recorded so far."""
    from pydantic import ValidationError

    from churn import governance
    from sovereign.card.build import CardError
    from sovereign.card.schema.card import read

    path = settings.path("card") / "card.json"
    try:
        return governance.signed(read(path), settings)
    except FileNotFoundError:
        raise Misuse(f"{path} does not exist: run `churn card` first.") from None
    except ValidationError as error:
        raise Misuse(
            f"{path} is no card of this version ({error.error_count()} errors): run `churn card` again."
        ) from None
    except CardError as error:
        raise Misuse(str(error)) from None


def _rebuilt(settings: Settings) -> Card:
    """The card with the answers as they stand in ``model_card.toml`` now, and the facts of the last run, if any."""
    from sovereign.card.build import CardError, build, read_answers
    from sovereign.card.schema.facts import Facts

    known = (settings.path("card") / "card.json").exists()
    facts = _card(settings).facts if known else Facts()
    try:
        return build(facts, read_answers(settings.root / "model_card.toml"), card_id=settings.project.name)
    except CardError as error:
        raise Misuse(str(error)) from None


def _bundled(settings: Settings) -> str:
    path = settings.path("bundle") / "bundle.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["version"])
    except FileNotFoundError:
        raise Misuse(f"{path} does not exist: run `churn register` first, or name --version.") from None


def _announce(decision: Decision, settings: Settings) -> None:
    if not decision.allowed:
        raise Refused("Production stays as it is:\n" + "\n".join(f"  - {reason}" for reason in decision.reasons))
    before = f" (before: {decision.previous})" if decision.previous else ""
    typer.echo(f"{settings.project.name} version {decision.version} is production{before}.")


def _print_findings(settings: Settings, card: Card, findings: list[Finding]) -> None:
    from sovereign.card.render.hurdles import hurdles

    rows = [(row.rule, row.effect, row.article, row.found, row.do) for row in hurdles(card, findings)]
    _show(("rule", "", "article", "found", "what to do"), rows)
    if pasted := "\n".join(f.paste for f in findings if f.paste):
        typer.echo(f"An answer made these necessary; paste them into model_card.toml:\n\n{pasted}\n")
    typer.echo(f"Card {card.content_hash[:12]}: {card.status}. {_verdict(card, findings, settings)}")
    if _rebuilt(settings).content_hash != card.content_hash:
        typer.echo("model_card.toml changed since the card was written: run `churn card`.", err=True)


def _verdict(card: Card, findings: list[Finding], settings: Settings) -> str:
    """Where the card stands on its way to production."""
    from sovereign.card.render.hurdles import hurdles, in_short
    from sovereign.card.rules import blocks, check

    ahead = check(card, settings.rule_policy, _now().date(), at="promote")
    if not findings and not ahead:
        return "No finding."
    told = in_short(hurdles(card, ahead))
    hint = "" if blocks(findings) or not blocks(ahead) else " (`churn check --promotion` shows them)"
    return f"{told[:1].upper()}{told[1:]}{hint}."


def _show(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on a terminal, tab-separated lines when piped."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    out = Console(highlight=False)
    if not out.is_terminal:
        for row in rows:
            typer.echo("\t".join(row))
        return
    shown = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        shown.add_row(*map(escape, row))
    if rows:
        out.print(shown)

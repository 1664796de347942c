"""churn check, approve and promote: findings on the card, approvals, move to production."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sovereign_ml.cli.card_output import (
    bundled_version,
    now,
    own_rules,
    print_findings,
    print_lines_to_paste,
    read_card,
    rebuilt,
    show,
    still_wanted,
    warn_if_outdated,
)
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    from sovereign_ml.card.promotion import PromotionDecision
    from sovereign_ml.card.rules.engine import At
    from sovereign_ml.card.schema.model_card import Approval, Card
    from sovereign_ml.config.settings import Settings
    from sovereign_ml.registry.aliases import MlflowRegistry

app = typer.Typer()
AsOption = Annotated[
    str, typer.Option("--as", help="First and last name of the person, e.g. 'Ada Lovelace'.")
]


class Role(StrEnum):
    """Roles that may approve. The data protection officer answers in model_card.toml instead."""

    business_owner = "business_owner"
    model_owner = "model_owner"
    legal = "legal"
    security = "security"


@app.command()
def check(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="With --project: folders of projects; default: this."),
    ] = None,
    project: Annotated[
        bool, typer.Option("--project", help="Find outdated locks, library, gates, dates, signers.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--from", help="With --project: a file of folders, one per line.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="With --project: a clone of the template to compare with.")
    ] = None,
    promotion: Annotated[
        bool, typer.Option("--promotion", help="As strictly as `churn promote`.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Run every rule over the card. Exit 1 if one blocks.

    With --project it looks for outdated parts of projects instead.
    """
    if project:
        # This comes before the settings: a folder of many projects has none of its own.
        _check_projects(folders or [], file, template, as_json=as_json)
        return
    if folders or file or template:
        raise Misuse(
            "Folders, --from and --template go with --project: churn check --project FOLDER."
        )
    from sovereign_ml.supply_chain.vendored_library import checked_identity

    settings = load_settings(profile)
    # A changed library must not judge, so this comes before the rules are imported.
    library = checked_identity(settings.root, settings.profile_name)

    from sovereign_ml.card.promotion import other_rules
    from sovereign_ml.card.rules import blocks
    from sovereign_ml.card.rules import check as run_rules

    card = read_card(settings)
    for line in other_rules(card, library.rule_digest):
        # Standard output may be JSON for another program.
        typer.echo(line, err=True)
    at: At = "promote" if promotion else "register"
    own = own_rules(settings)
    findings = run_rules(card, settings.rule_policy, now().date(), at=at, own=own)
    if as_json:
        rows = [finding.model_dump() for finding in findings]
        typer.echo(
            json.dumps({"status": card.status, "findings": rows}, indent=2, ensure_ascii=False)
        )
    else:
        print_findings(card, findings, settings.rule_policy, own)
        warn_if_outdated(card, rebuilt(settings))
    if blocking := blocks(findings):
        raise Refused(f"Blocked by {', '.join(sorted({finding.rule for finding in blocking}))}.")


def _check_projects(
    folders: list[Path], file: Path | None, template: Path | None, *, as_json: bool
) -> None:
    """Print what is outdated: line by line in one project, or a table of many."""
    from sovereign_ml.config.settings import ENVIRONMENT
    from sovereign_ml.upkeep import examine, listed, overview

    today = now().date()
    if template and not template.is_dir():
        raise Misuse(f"{template} is no folder: --template names a clone of the template.")
    roots = listed(folders, file)
    if file and not roots:
        raise Misuse(f"{file} names no folder: write one per line.")
    # A list stays a table when it has one line left: programs read its JSON.
    if file or len(roots) > 1:
        rows = [overview(folder, today, template) for folder in roots]
        if as_json:
            typer.echo(json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False))
        else:
            head = ("folder", "project", "template", "library", "locks", "to do")
            show(head, [row.cells() for row in rows])
        if behind := sum(bool(row.findings or row.error) for row in rows):
            raise Refused(f"{behind} of {len(rows)} projects: see churn check --project FOLDER.")
        return
    own_root = Path(ENVIRONMENT.get("CHURN_ROOT", ".")).resolve()
    root = roots[0] if roots else own_root
    # Only the environment of this very folder is the one that is running.
    findings = examine(root, today, template=template, is_own=root.resolve() == own_root)
    if as_json:
        typer.echo(
            json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)
        )
    else:
        show(("check", "actual", "allowed", "next"), [astuple(finding) for finding in findings])
    if findings:
        raise Refused(f"{len(findings)} findings: the last column gives the next action.")
    if not as_json:
        typer.echo("Nothing is outdated.")


@app.command()
def approve(
    role: Annotated[Role, typer.Option(help="The role in which the person decides.")],
    person: AsOption,
    reject: Annotated[bool, typer.Option("--reject", help="Record a rejection.")] = False,
    comment: Annotated[str, typer.Option(help="Kept with the decision.")] = "",
    profile: ProfileOption = None,
) -> None:
    """Record that a person approves or rejects this very card.

    It is a signed commit where keys are set up.
    """
    from sovereign_ml.pipeline.card_facts.promotion_gate import against_answers, against_git
    from sovereign_ml.registry import approvals

    settings = load_settings(profile)
    card = read_card(settings)
    decision: Literal["approve", "reject"] = "reject" if reject else "approve"
    # An approval covers what is committed. Anything else was not reviewed.
    if not reject:
        unclear = [*against_git(card, settings), *against_answers(card, settings)]
        if unclear:
            raise Refused("Not approved:\n" + "\n".join(f"  - {reason}" for reason in unclear))
    approval = _decided(settings, card, role.value, person, decision, comment)
    signed = approvals.signed(card, settings.root, settings.rule_policy)
    policy, own = settings.rule_policy, own_rules(settings)
    approvals.publish(signed, settings.path("card"), settings.path("bundle"), policy, own)
    verb = "rejects" if reject else "approves"
    next_act = still_wanted(signed, settings.rule_policy.approval_roles)
    typer.echo(
        f"{approval.person} {verb} card {approval.card_hash[:12]} as {approval.role}. {next_act}"
    )
    evidence = (
        f"Signed by {approval.signed_by}. Push the commit."
        if approval.signed_by
        else f"Recorded without a signature, so it proves nothing. Commit {approvals.APPROVALS}."
    )
    typer.echo(f"{evidence} The decisions are in {settings.paths.card}/card.html.")


@app.command()
def promote(
    person: Annotated[
        str,
        typer.Option(
            "--as", help="First and last name of who promotes.", prompt="First and last name"
        ),
    ],
    # Asked for where it is missing, because no move is made without a name and a reason.
    why: Annotated[str, typer.Option(help="Why; kept in the registry's history.", prompt="Why")],
    back: Annotated[bool, typer.Option("--rollback", help="Return to the version before.")] = False,
    version: Annotated[
        str, typer.Option(help="Registry version; default: the one in the bundle.")
    ] = "",
    profile: ProfileOption = None,
) -> None:
    """Make a version production, if rules and evidence allow it."""
    from sovereign_ml.card import promotion
    from sovereign_ml.card.approval import rejections
    from sovereign_ml.card.build import CardError
    from sovereign_ml.pipeline.card_facts.promotion_gate import evidence_against
    from sovereign_ml.project import load_project
    from sovereign_ml.registry.aliases import MlflowRegistry
    from sovereign_ml.registry.signatures import decisions
    from sovereign_ml.supply_chain.vendored_library import checked_identity

    settings = load_settings(profile)
    registry = MlflowRegistry(settings.tracking)
    if back:
        # The version before was approved once, so only a later rejection can speak against it.
        try:
            rejected = rejections(decisions(settings.root))
        except CardError as error:
            raise Misuse(str(error)) from None
        decision = promotion.rollback(registry, by=person, why=why, at=now(), rejected=rejected)
        _announce(decision, settings.project.name)
        return
    library = checked_identity(settings.root, settings.profile_name)
    card, chosen = read_card(settings), version or bundled_version(settings.path("bundle"))
    project = load_project(settings.root).with_inputs(settings.features.inputs)
    decision = promotion.promote(
        registry,
        card,
        settings.rule_policy,
        version=chosen,
        by=person,
        why=why,
        at=now(),
        rule_digest=library.rule_digest,
        own=own_rules(settings),
        evidence=evidence_against(card, chosen, settings, project),
    )
    # A refusal ends here, before any copy of the card is changed.
    _announce(decision, settings.project.name)
    _show_signed(card, chosen, registry, settings)


def list_open(card: Card) -> None:
    """Print what people still have to answer in ``model_card.toml``, and how far they are."""
    from sovereign_ml.card.questions import open_questions, paste, progress

    questions, done = open_questions(card), progress(card)
    show(("answer", "question", "source"), [(q.path, q.text, q.source) for q in questions])
    print_lines_to_paste(paste(card, questions))
    typer.echo(f"{done.answered} of {done.required} questions answered, {len(questions)} open.")


def _decided(
    settings: Settings,
    card: Card,
    role: str,
    person: str,
    decision: Literal["approve", "reject"],
    comment: str,
) -> Approval:
    """Record the decision and return it."""
    from sovereign_ml.card import approval
    from sovereign_ml.card.build import CardError
    from sovereign_ml.registry import signatures

    try:
        # A decision is a signed commit where keys are set up, and in every profile but local.
        signing = signatures.is_set_up(settings.root)
        if not signing and settings.profile_name != "local":
            raise Refused(
                f"Profile {settings.profile_name} records signed decisions only. "
                f"Put the public keys of the approvers into {signatures.SIGNERS} and commit it "
                "(docs/approval.md)."
            )
        # A new card has none of the decisions about the one before.
        card = approval.with_approvals(card, signatures.decisions(settings.root))
        recorded = approval.approve(
            card, role=role, person=person, at=now(), decision=decision, comment=comment
        )
        if signing:
            return signatures.record_signed(settings.root, recorded)
        approval.record(settings.root / signatures.APPROVALS, recorded)
        return recorded
    except (approval.ApprovalError, CardError) as error:
        raise Refused(str(error)) from None


def _show_signed(card: Card, version: str, registry: MlflowRegistry, settings: Settings) -> None:
    """Put the signatures into every copy of the card."""
    from sovereign_ml.card.alias_history import RegistryError
    from sovereign_ml.registry import approvals, bundle_store

    policy, own = settings.rule_policy, own_rules(settings)
    approvals.publish(card, settings.path("card"), settings.path("bundle"), policy, own)
    try:
        registry.keep_card(version, settings.path("card"))
        bundle_store.sign(settings.tracking, version, settings.path("card"))
    except (RegistryError, Refused, Misuse) as error:
        # Production has moved already, so this only warns.
        typer.echo(f"The registry still has the card without signatures: {error}", err=True)


def _announce(decision: PromotionDecision, model: str) -> None:
    if not decision.allowed:
        raise Refused(
            "Production stays as it is:\n"
            + "\n".join(f"  - {reason}" for reason in decision.reasons)
        )
    before = f" (before: {decision.previous})" if decision.previous else ""
    typer.echo(f"{model} version {decision.version} is production{before}.")

"""churn leave audit, parity, status and finish: replacements, differences and remains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sovereign_ml.cli.card_output import now
from sovereign_ml.cli.leave.bring import DumpArgument, inside, minimiser, opened
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import code_audit

if TYPE_CHECKING:
    from sovereign_ml.leaving.checklist import ChecklistFinding, ChecklistRule
    from sovereign_ml.leaving.code_audit import CodeAudit, CodeUse

SHOWN = 20  # places of a rule that are printed
app = typer.Typer()


@app.command()
def audit(
    dump: Annotated[Path | None, typer.Argument(help="The folder of the dump.")] = None,
    code: Annotated[
        Path | None, typer.Option(help="Folder of the code that runs on SageMaker.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Run the compliance checklist over a dump, and find SageMaker in code.

    Exit 1 on an error of the checklist or a use of SageMaker.
    """
    if dump is None and code is None:
        raise Misuse("Nothing to look at: name the folder of a dump, or --code FOLDER, or both.")
    answer: dict[str, Any] = {}
    problems = []
    if dump is not None:
        findings = _checklist(dump, profile)
        answer["findings"] = [{**asdict(row), **asdict(_rule_of(row))} for row in findings]
        errors = sum(_rule_of(row).severity == "error" for row in findings)
        problems += [f"{errors:,} errors of {len(findings):,} findings"] if errors else []
        if not as_json:
            typer.echo("\n".join(_checklist_lines(findings)))
    if code is not None:
        result = code_audit.audit_code(code)
        files = len({use.file for use in result.uses})
        uses = (
            f"{len(result.uses):,} uses of SageMaker or boto3 in {files:,} of "
            f"{result.files:,} files"
        )
        problems += [uses] if result.uses else []
        answer |= {
            "uses": [{**asdict(use), **_replacement(use)} for use in result.uses],
            "files": result.files,
            "not_read": result.not_read,
        }
        if not as_json:
            typer.echo("\n".join(_code_lines(result)))
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    if problems:
        raise Refused(f"{'; '.join(problems)}. Follow the remedy of each, then call this again.")


def _checklist(folder: Path, profile: str | None) -> list[ChecklistFinding]:
    from sovereign_ml.leaving import checklist, progress

    settings = load_settings(profile)
    answers = opened(settings, folder)
    keeping = settings.retention
    findings = checklist.audit_dump(
        answers,
        minimiser(settings),
        now=now(),
        features_before=keeping.features.before(now()),
        runs_before=keeping.runs.before(now()),
    )
    counts: Counter[str] = Counter()
    for row in findings:
        counts[row.rule] += row.count
    progress.note(settings.root, answers, "audit", counts, now())
    return findings


def _rule_of(finding: ChecklistFinding) -> ChecklistRule:
    """Return the rule of a finding."""
    from sovereign_ml.leaving.checklist import RULES

    return RULES[finding.rule]


def _checklist_lines(findings: Sequence[ChecklistFinding]) -> Iterator[str]:
    """Yield one answer for each part of the checklist, then each rule with findings and remedy."""
    from sovereign_ml.leaving.checklist import PARTS, RULES

    for part, title in PARTS.items():
        count = sum(_rule_of(row).part == part for row in findings)
        yield f"{title}: {f'yes, {count:,} findings' if count else 'nothing found'}"
    for number, rule in RULES.items():
        places = [row for row in findings if row.rule == number]
        if places:
            yield f"{rule.severity:<8}{number} {rule.what} ({rule.article}): {rule.remedy}"
        for row in places[:SHOWN]:
            yield f"    {row.where}" + (f", {row.count:,} times" if row.count > 1 else "")
        if len(places) > SHOWN:
            yield f"    and {len(places) - SHOWN:,} more; --json names all"


def _replacement(use: CodeUse) -> dict[str, str]:
    rule = next(rule for rule in code_audit.rules() if rule.id == use.rule)
    return {"what": rule.what, "replaced_by": rule.replaced_by or rule.instead}


def _code_lines(result: CodeAudit) -> Iterator[str]:
    for use in result.uses:
        yield f"{use.file}:{use.line}  {use.rule} {_replacement(use)['what']}  {use.seen}"
    by_rule = {use.rule: use for use in result.uses}
    counts = Counter(use.rule for use in result.uses)
    for number, use in sorted(by_rule.items()):
        yield f"{number} {_replacement(use)['what']}, {counts[number]:,} uses"
        yield f"    now: {_replacement(use)['replaced_by']}"
    for reason, count in Counter(result.not_read.values()).items():
        yield f"Not read: {count:,} files, {reason}."
    if not result.uses:
        yield f"No use of SageMaker or boto3 in {result.files:,} files."


@app.command()
def parity(
    dump: DumpArgument,
    endpoint: Annotated[str, typer.Option(help="Endpoint whose captured requests are scored.")],
    columns: Annotated[
        str, typer.Option(help="Features of a row in their order, with commas; - skips one.")
    ] = "",
    answer: Annotated[
        str, typer.Option(help="Member of a JSON answer that holds the probability.")
    ] = "",
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="Largest difference of a probability.")
    ] = 0.01,
    may_lack: Annotated[
        float, typer.Option(min=0, max=1, help="Share of rows that need not be comparable.")
    ] = 0.0,
    profile: ProfileOption = None,
) -> None:
    """Score captured requests by the new bundle. Exit 1 unless the answers are the same."""
    from sovereign_ml.leaving import progress, scores
    from sovereign_ml.pipeline.batch_scoring import read_whole

    settings = load_settings(profile)
    answers = opened(settings, dump)
    files = scores.captured(inside(answers.folder, f"capture/{endpoint}"))
    bundle = read_whole(settings.path("bundle"))
    names = tuple(name.strip() for name in columns.split(",")) if columns else ()
    parts = (bundle.model, bundle.contract, bundle.policy)
    result = scores.compare_scores(files, *parts, columns=names, answer=answer, tolerance=tolerance)
    verdict = result.verdict(may_lack)
    typer.echo(
        f"{result.lines:,} captured requests, {len(result.differences):,} of {result.rows:,} rows "
        "compared."
    )
    for reason, count in result.skipped.most_common():
        typer.echo(f"  left: {count:,}, {reason}")
    typer.echo(
        f"{result.over:,} differ by more than {tolerance}; the largest difference is "
        f"{result.largest:.6f}. {result.bands_changed:,} are in another band."
    )
    if cause := result.cause():
        typer.echo(f"  {cause}")
    facts = {
        "verdict": verdict,
        "compared": len(result.differences),
        "differing": result.over,
        "in another band": result.bands_changed,
        "left": dict(result.skipped),
        "tolerance": tolerance,
        "largest difference": round(result.largest, 6),
    }
    progress.note(settings.root, answers, "parity", facts, now())
    if verdict != "same":
        shortfall = (
            "the scores differ" if verdict == "differs" else "too few rows could be compared"
        )
        raise Refused(
            f"Verdict: {verdict}: {shortfall}. Keep the old endpoint until they are the same."
        )
    typer.echo("Verdict: same.")


@app.command()
def status(profile: ProfileOption = None) -> None:
    """Show what was imported, what is still in SageMaker, and the age of that knowledge."""
    from sovereign_ml.leaving import progress

    settings = load_settings(profile)
    for line in progress.lines(progress.read(settings.root), now()):
        typer.echo(line)


@app.command()
def finish(
    dump: DumpArgument,
    script: Annotated[
        Path | None, typer.Option(help="Write the deletion script here. This command runs nothing.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Write the deletion script, or confirm from a later dump that nothing is left."""
    from sovereign_ml.leaving import deletion, progress
    from sovereign_ml.pipeline.card_facts.left_system import REPORT

    settings = load_settings(profile)
    answers = opened(settings, dump)
    if script is None:
        progress.finished(settings.root, answers, now())
        typer.echo(f"Nothing is left in SageMaker. Evidence: {REPORT}. Delete {dump} now.")
        return
    text = deletion.deletion_script(answers)
    progress.note(settings.root, answers, "script", {}, now())
    progress.note_script(settings.root, now())
    script.write_text(text, encoding="utf-8")
    typer.echo(
        f"{text.count('aws --region')} commands are in {script}. Read them before you run them."
    )

"""churn leave audit, status and finish: breaches, uses in code, and remains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sovereign_ml.cli.card_output import now
from sovereign_ml.cli.leave.bring import DumpArgument, minimiser, opened
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import code_audit

if TYPE_CHECKING:
    from sovereign_ml.leaving.checklist import ChecklistFinding, ChecklistRule
    from sovereign_ml.leaving.code_audit import CodeAudit, CodeUse
    from sovereign_ml.leaving.findings.waivers import Waivers

SHOWN = 20  # places of a rule that are printed
app = typer.Typer()


@app.command()
def audit(
    dump: Annotated[Path | None, typer.Argument(help="The folder of the dump.")] = None,
    code: Annotated[
        Path | None, typer.Option(help="Folder of the code that runs on SageMaker.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    sarif: Annotated[
        Path | None, typer.Option(help="Write SARIF 2.1.0 here, for a code forge.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Run the compliance checklist over a dump, and find SageMaker in code.

    Exit 1 on an error of the checklist or a use of SageMaker, unless a waiver in
    config.toml accepts it.
    """
    from sovereign_ml.leaving.checklist import PARTS

    if dump is None and code is None:
        raise Misuse("Nothing to look at: name the folder of a dump, or --code FOLDER, or both.")
    findings = _checklist(dump, profile) if dump is not None else []
    result = code_audit.audit_code(code) if code is not None else code_audit.CodeAudit()
    looked_at = {"L"} if dump is not None else set()
    looked_at |= {"C"} if code is not None else set()
    waived = _Waived(findings, result.uses, _waivers(profile, dump), looked_at)
    # A forge needs this file most when the audit fails, so it is written first.
    if sarif is not None:
        from sovereign_ml.privacy.tombstones import write_durably

        log = waived.sarif(result.not_read, str(code or ""))
        write_durably(sarif, json.dumps(log, indent=1) + "\n")
    answer: dict[str, Any] = {}
    problems = []
    if dump is not None or waived.findings:
        answer["findings"] = [
            {**asdict(row), **asdict(_rule_of(row)), "waived": waiver}
            for row, waiver in waived.findings
        ]
        errors = waived.errors()
        count = len(waived.findings)
        problems += [f"{errors:,} errors of {count:,} findings"] if errors else []
        if not as_json:
            parts = PARTS if dump is not None else ("waivers",)
            typer.echo("\n".join(_checklist_lines(waived.findings, parts)))
    if code is not None:
        files = len({use.file for use in result.uses})
        uses = (
            f"{len(result.uses):,} uses of SageMaker or boto3 in {files:,} of "
            f"{result.files:,} files"
        )
        open_uses = sum(not waiver for _, waiver in waived.uses)
        accepted = f", {len(result.uses) - open_uses:,} of them waived"
        problems += [uses + (accepted if open_uses < len(result.uses) else "")] * bool(open_uses)
        answer |= {
            "uses": [
                {**asdict(use), **_replacement(use), "waived": waiver}
                for use, waiver in waived.uses
            ],
            "files": result.files,
            "not_read": result.not_read,
        }
        if not as_json:
            typer.echo("\n".join(_code_lines(result, waived.uses)))
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    if problems:
        raise Refused(f"{'; '.join(problems)}. Follow the remedy of each, then call this again.")


class _Waived:
    """Findings and uses, each with the words of its waiver, "" for none."""

    def __init__(
        self,
        findings: Sequence[ChecklistFinding],
        uses: Sequence[CodeUse],
        waivers: Waivers,
        looked_at: set[str],
    ) -> None:
        from sovereign_ml.leaving.checklist import RULES, ChecklistFinding

        self.findings = [(row, waivers.of(row.rule, row.where)) for row in findings]
        self.uses = [
            (use, waivers.of(use.rule, use.file, f"{use.file}:{use.line}")) for use in uses
        ]
        # A waiver of what was not looked at is no waiver without a finding.
        rules = {*RULES, *(rule.id for rule in code_audit.rules())}
        checked = {rule for rule in rules if rule[0] in looked_at}
        self.findings += [
            (ChecklistFinding(problem.rule, problem.where), "")
            for problem in waivers.problems(checked)
        ]

    def errors(self) -> int:
        """Return the number of errors of the checklist that nobody accepted."""
        return sum(_rule_of(row).severity == "error" and not w for row, w in self.findings)

    def sarif(self, not_read: Mapping[str, str], code: str) -> dict[str, Any]:
        from sovereign_ml.leaving.findings.findings_log import findings_sarif

        return findings_sarif(self.findings, self.uses, not_read, code)


def _waivers(profile: str | None, dump: Path | None) -> Waivers:
    """Return the waivers of the project. Code alone can be looked at outside of one."""
    from sovereign_ml.leaving.findings.waivers import Waivers

    try:
        waivers = load_settings(profile).leave.waivers
    except Misuse:
        if dump is not None or Path("config.toml").exists():
            raise
        waivers = ()
    return Waivers(waivers, now().date())


def _checklist(folder: Path, profile: str | None) -> list[ChecklistFinding]:
    from sovereign_ml.leaving import checklist, progress

    settings = load_settings(profile)
    answers = opened(settings, folder)
    keeping = settings.retention
    report = progress.read(settings.root)
    findings = checklist.audit_dump(
        answers,
        minimiser(settings),
        now=now(),
        features_before=keeping.features.before(now()),
        runs_before=keeping.runs.before(now()),
        recorded_as_deleted=progress.contradicts_deletion(report, answers),
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


def _checklist_lines(
    findings: Sequence[tuple[ChecklistFinding, str]], parts: Iterable[str]
) -> Iterator[str]:
    """Yield one answer for each of ``parts``, then each rule with findings and remedy."""
    from sovereign_ml.leaving.checklist import PARTS, RULES

    for part in parts:
        title = PARTS[part]
        count = sum(_rule_of(row).part == part for row, _ in findings)
        yield f"{title}: {f'yes, {count:,} findings' if count else 'nothing found'}"
    for number, rule in RULES.items():
        places = [(row, waiver) for row, waiver in findings if row.rule == number]
        if places:
            yield f"{rule.severity:<8}{number} {rule.what} ({rule.article}): {rule.remedy}"
        for row, waiver in places[:SHOWN]:
            times = f", {row.count:,} times" if row.count > 1 else ""
            yield f"    {row.where}{times}" + (f", {waiver}" if waiver else "")
        if len(places) > SHOWN:
            yield f"    and {len(places) - SHOWN:,} more; --json names all"


def _replacement(use: CodeUse) -> dict[str, str]:
    rule = next(rule for rule in code_audit.rules() if rule.id == use.rule)
    return {"what": rule.what, "replaced_by": rule.replaced_by or rule.instead}


def _code_lines(result: CodeAudit, uses: Sequence[tuple[CodeUse, str]]) -> Iterator[str]:
    for use, waiver in uses:
        line = f"{use.file}:{use.line}  {use.rule} {_replacement(use)['what']}  {use.seen}"
        yield line + (f"  {waiver}" if waiver else "")
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
    from sovereign_ml.privacy.tombstones import write_durably

    settings = load_settings(profile)
    answers = opened(settings, dump)
    if script is None:
        progress.finished(settings.root, answers, now())
        typer.echo(f"Nothing is left in SageMaker. Evidence: {REPORT}. Delete {dump} now.")
        return
    progress.check_age(answers, now())
    progress.check_origin(progress.read(settings.root), answers)
    text = deletion.deletion_script(answers)
    # A slip could name a file of the dump, which is the only copy by then.
    if script.is_file() and not deletion.is_deletion_script(script.read_bytes()):
        raise Misuse(f"{script} exists already and is no deletion script: name a new file.")
    # Written before it is noted: `finish` without --script takes the note for a script that ran.
    write_durably(script, text)
    progress.note(settings.root, answers, "script", {}, now())
    progress.note_script(settings.root, now())
    typer.echo(
        f"{deletion.count_of(text):,} commands are in {script}. Read them before you run them."
    )

"""churn audit and churn supply-chain: addresses, things not to commit, and dependencies."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    from sovereign_ml.audit import AuditPolicy, Report
    from sovereign_ml.audit.secrets import ScanHit
    from sovereign_ml.supply_chain.lockfile import Pin

app = typer.Typer()
supply_chain = typer.Typer(
    no_args_is_help=True, help="Locked packages: SBOM, licences, vulnerabilities."
)
app.add_typer(supply_chain, name="supply-chain")
LockArgument = Annotated[
    Path, typer.Argument(help="A hash-locked requirements file.", exists=True, dir_okay=False)
]


@app.command()
def audit(
    notebooks: Annotated[
        bool, typer.Option("--notebooks", help="Scan committed notebooks for data too.")
    ] = False,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Scan committed files for secrets too.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show addresses that are fine too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    sarif: Annotated[
        Path | None, typer.Option(help="Write SARIF 2.1.0 here, for a code forge.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Judge every address in the project. Exit 1 if one is refused.

    The policy is the audit table of config.toml.
    """
    from sovereign_ml.audit.notebooks import scan_notebooks
    from sovereign_ml.audit.secrets import scan_secrets, unread
    from sovereign_ml.config import settings as configuration
    from sovereign_ml.pipeline.project_audit import judged

    settings = configuration.load(profile)
    report = judged(settings, configuration.ENVIRONMENT)
    root, excluded = settings.root, settings.audit.exclude
    hits = scan_notebooks(root, excluded) if notebooks else []
    hits = hits + scan_secrets(root, excluded) if secrets else hits
    not_searched = unread(root, excluded) if secrets else []
    if sarif is not None:
        sarif.write_text(json.dumps(report.to_sarif(), indent=1) + "\n", encoding="utf-8")
    if as_json:
        answer = {**report.to_json(), "hits": [asdict(hit) for hit in hits]}
        if secrets:
            answer["not_searched"] = not_searched
        typer.echo(json.dumps(answer, indent=1))
    else:
        _show(report, hits, everything=everything)
        if not_searched:
            typer.echo(f"Not searched for secrets, binary or over 2 MB: {', '.join(not_searched)}.")
    # The output comes before the exit code: a forge needs the SARIF file most when it fails.
    refused = len(report.refused(settings.audit))
    if refused or hits:
        raise Refused(
            f"The audit refuses addresses: {refused}, "
            f"things that must not be committed: {len(hits)}. "
            "docs/audit.md explains each, and who may allow it."
        )


def _show(report: Report, hits: list[ScanHit], *, everything: bool) -> None:
    from sovereign_ml.cli.console import out

    if out.is_terminal:
        out.print(report.table(everything=everything))
    else:
        typer.echo("\n".join(report.lines(everything=everything)))
    for hit in hits:
        typer.echo(f"error  {hit.file}:{hit.line}  {hit.kind}")
    if unread := report.unread_line():
        typer.echo(unread)
    counts = ", ".join(f"{count} {severity}" for severity, count in report.counts().items())
    typer.echo(f"{counts}. Classes, declarations and waivers: docs/audit.md.")


@supply_chain.command()
def sbom(
    lock: LockArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; default: standard output.")
    ] = None,
) -> None:
    """Write the bill of materials (CycloneDX 1.6 JSON) of a lock."""
    from sovereign_ml.bundle.installed_files import sha256_of
    from sovereign_ml.supply_chain.sbom import sbom as document

    version = sha256_of(lock)[:12]
    text = (
        json.dumps(document(_pins(lock), name=f"churn-{lock.stem}", version=version), indent=1)
        + "\n"
    )
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")


@supply_chain.command()
def licences(lock: LockArgument) -> None:
    """List the packages of a lock by licence, as their own metadata names it."""
    from sovereign_ml.supply_chain.sbom import licences as by_licence

    for licence, packages in by_licence(_pins(lock)).items():
        typer.echo(f"{licence} ({len(packages)}): {', '.join(packages)}")


@supply_chain.command()
def vuln(
    locks: Annotated[
        list[Path],
        typer.Argument(help="Hash-locked requirements files.", exists=True, dir_okay=False),
    ],
    profile: ProfileOption = None,
) -> None:
    """Ask a vulnerability service about every locked package. Exit 1 on a finding.

    Its address is vulnerability_service of the audit table in config.toml.
    """
    from sovereign_ml.supply_chain.vulnerabilities import vulnerabilities

    settings = load_settings(profile)
    service = settings.audit.vulnerability_service
    if not service:
        raise Misuse(
            "No vulnerability service is set, so nothing was asked. Set [audit] "
            "vulnerability_service in config.toml to the query address of an OSV service, "
            "best your own mirror: it learns what you run."
        )
    # Asked before the first request, so that a refused service learns nothing.
    _may_see_packages(service, settings.audit)
    count = 0
    for lock in locks:
        advisories = vulnerabilities(lock, service)
        count += len(advisories)
        for advisory in advisories:
            versions = ", ".join(advisory.mended_in)
            fix = f"fixed in {versions}" if versions else "no fix available"
            package = f"{advisory.package} {advisory.version}"
            typer.echo(f"{lock.name}  {package}  {advisory.advisory}  {fix}")
    if count:
        raise Refused(
            f"{count} known vulnerabilities. Raise the minimum versions in requirements/*.in, "
            "then run `make lock`."
        )
    typer.echo(f"No known vulnerability in {', '.join(lock.name for lock in locks)}.")


def _may_see_packages(service: str, policy: AuditPolicy) -> None:
    """Refuse a service to which the policy allows no metadata."""
    from sovereign_ml.audit import Payload
    from sovereign_ml.jurisdictions import classify
    from sovereign_ml.supply_chain.vulnerabilities import without_password

    # Packages and versions are metadata: they show an attacker which flaws are open.
    place = classify(service)
    if not policy.allows(place.jurisdiction, Payload.METADATA):
        owner = place.provider or place.host
        raise Refused(
            f"[audit] vulnerability_service {without_password(service)}: {owner} is "
            f"{place.jurisdiction.value}, to which [audit.allow] allows no metadata. Name a mirror of your own."
        )


def _pins(lock: Path) -> list[Pin]:
    from sovereign_ml.supply_chain.lockfile import LockError, read_lock

    try:
        return read_lock(lock)
    except LockError as error:
        raise Misuse(str(error)) from None

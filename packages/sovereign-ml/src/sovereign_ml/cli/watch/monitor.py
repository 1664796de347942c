"""churn monitor: watch the model in use, test the rules on the past, answer an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sovereign_ml.config.settings import Settings
    from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy
    from sovereign_ml.monitoring.reporting.stored_reports import MonitorReport
    from sovereign_ml.monitoring.watch import Watch

app = typer.Typer()
monitor_app = typer.Typer(invoke_without_command=True)
app.add_typer(
    monitor_app,
    name="monitor",
    help="Watch the model: data, shift, outcomes, groups, reviews.",
)
VersionOption = Annotated[
    str, typer.Option("--version", help="Registry version or alias to watch; default: step 7's.")
]
DayOption = Annotated[
    str, typer.Option("--as-of", help="Last day that counts, such as 2026-06-30; default: today.")
]


@monitor_app.callback()
def monitor(
    context: typer.Context,
    as_of: DayOption = "",
    version: VersionOption = "",
    challenger: Annotated[
        str, typer.Option(help="Compare this registry version on real outcomes; decides nothing.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Write data/9_monitoring/DAY/ and open alarms. Exit 1 while one has no answer."""
    # Typer calls this function before each of its subcommands too.
    if context.invoked_subcommand:
        return
    from datetime import UTC, datetime

    from sovereign_ml.monitoring.reporting.daily import refuse_unanswered, run_and_tell
    from sovereign_ml.monitoring.reporting.stored_reports import FOLDER
    from sovereign_ml.pipeline.source import watched_until

    settings = load_settings(profile)
    now = datetime.now(UTC)
    end = _end(as_of, now) if as_of else watched_until(settings, now)
    with _watch(settings, version) as watch:
        if challenger:
            _challenge(watch, challenger, end, as_json=as_json)
            return
        report, failed = run_and_tell(watch, end, now)
    for line in failed:
        typer.echo(f"Not delivered: {line}", err=True)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _print(report, FOLDER / report.day / "monitor.html")
    # This comes last, because whoever answers an alarm has to see it first.
    refuse_unanswered(report, failed)


@monitor_app.command("backtest")
def backtest_command(
    weeks: Annotated[int, typer.Option(min=2, max=104, help="Weekly runs to try.")] = 32,
    version: VersionOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Test the limits on your own past and on planted faults, without any change."""
    from sovereign_ml.monitoring import backtest

    settings = load_settings(profile)
    with _watch(settings, version) as watch:
        sealed, _ = watch.bundle_and_reference()
        report = backtest.backtest(
            sealed,
            watch.past(),
            settings.monitor,
            weeks=weeks,
            smallest=settings.evaluate.min_group,
        )
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
        return
    for run in report.runs:
        early = ", ".join(f"{ratio:.2f}" for ratio in run.early.values())
        broken = "; ".join(f"{rule}: {detected}" for rule, detected in run.broken.items())
        typer.echo(
            f"{run.day}  largest shift {run.feature_shift:.3f}  score {run.score_shift:.3f}  "
            f"early {early or '-'} {run.early_status}  {broken}".rstrip()
        )
    early_alarms = sum(run.early_status == "alarm" for run in report.runs)
    typer.echo(
        f"{len(report.runs)} weekly runs: a data rule broken on {len(report.broken)}, "
        f"twice in a row {report.twice} times (an alarm); early outcomes alarm on {early_alarms}."
    )
    for fault in report.faults:
        if not fault.touches_model:
            typer.echo(f"no use  {fault.fault}: the model looks at none of these columns")
            continue
        verdict = "found" if fault.is_found else "missed"
        typer.echo(f"{verdict:<7} {fault.fault}: {', '.join(fault.broken) or 'no rule'}")
    planted = [fault for fault in report.faults if fault.touches_model]
    detected = sum(fault.is_found for fault in planted)
    typer.echo(f"{detected} of {len(planted)} planted faults found.")


@monitor_app.command("answer")
def answer_command(
    alarm: Annotated[str, typer.Argument(help="Such as A-2026-11-26-early.")],
    person: Annotated[str, typer.Option("--as", help="First and last name of who answers.")],
    why: Annotated[str, typer.Option(help="A sentence; kept in git.")],
    action: Annotated[str, typer.Option(help="retrain, roll_back, fix_data or accept.")],
    until: Annotated[str, typer.Option(help="Last day on which it is accepted.")] = "",
    profile: ProfileOption = None,
) -> None:
    """Record who answers an alarm, and how."""
    from datetime import UTC, datetime

    from sovereign_ml.monitoring import alarms

    settings = load_settings(profile)
    day = _day(until, "--until").date() if until else None
    now = datetime.now(UTC).replace(microsecond=0)
    record = alarms.answer(
        settings.root, alarm, by=person, why=why, action=action, until=day, now=now
    )
    typer.echo(f"{record.id}: {action} by {person}. Commit governance/monitoring/.")
    # The answer is on disk by now. A bucket that is away must not undo it.
    try:
        _copy(settings).sync()
    except Misuse as error:
        typer.echo(
            f"Scheduled runs do not know of it yet: {error} Then run `churn monitor sync`.",
            err=True,
        )


@monitor_app.command("sync")
def sync_command(profile: ProfileOption = None) -> None:
    """Exchange alarms with the bucket, and fetch the reports of scheduled runs."""
    from sovereign_ml.monitoring import alarms

    settings = load_settings(profile)
    if not settings.data_versions.in_bucket:
        raise Misuse(
            f"Profile {settings.profile_name} has no bucket, so no scheduled run stores anything: "
            "add `--profile eu`."
        )
    exchange = _copy(settings).sync()
    typer.echo(
        f"{len(exchange.reports)} new reports, {len(exchange.alarms_here)} alarms taken over, "
        f"{len(exchange.alarms_there)} stored in the bucket."
    )
    if exchange.alarms_here:
        typer.echo(f"Commit governance/monitoring/: {', '.join(exchange.alarms_here)}.")
    alarms.refuse_waiting(alarms.unanswered(settings.root))


def _copy(settings: Settings) -> MonitorCopy:
    """Return the copy of alarms and reports in the bucket of the profile."""
    from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy

    return MonitorCopy(settings.project.name, settings.data_versions)


@contextmanager
def _watch(settings: Settings, version: str) -> Iterator[Watch]:
    """Yield the monitor of the project's newest bundle, or of a registry version."""
    from sovereign_ml.monitoring.watch import Watch
    from sovereign_ml.project import load_project

    project = load_project(settings.root)
    if not version:
        yield Watch(settings, project, settings.path("bundle"))
        return
    with _fetched(settings, version) as folder:
        yield Watch(settings, project, folder)


@contextmanager
def _fetched(settings: Settings, version: str) -> Iterator[Path]:
    """Yield a folder with the bundle of a registry version or alias."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from sovereign_ml.registry import bundle_store

    with TemporaryDirectory() as folder:
        yield bundle_store.fetch(settings.tracking, version, Path(folder) / "bundle")


def _challenge(watch: Watch, version: str, end: datetime, *, as_json: bool) -> None:
    from sovereign_ml.bundle.sealed import read_bundle

    with _fetched(watch.settings, version) as folder:
        comparison = watch.challenge(read_bundle(folder), end)
    if as_json:
        typer.echo(comparison.model_dump_json(indent=2))
        return
    typer.echo(
        f"Version {version} against the model in use, on {comparison.n:,} decisions whose outcome "
        f"is known ({comparison.source}):"
    )
    for name, figure in (("ROC AUC", comparison.roc_auc), ("Brier", comparison.brier)):
        typer.echo(
            f"{name:<8} {figure['value']:+.4f} ({figure['low']:+.4f} to {figure['high']:+.4f})"
        )


def _end(as_of: str, now: datetime) -> datetime:
    """Return midnight after the day that was named. Raises Misuse for one in the future."""
    from datetime import timedelta

    day = _day(as_of, "--as-of")
    # Days on the command line have no zone, and mean UTC like those of the data.
    if day > now.replace(tzinfo=None):
        raise Misuse(f"--as-of {as_of} is in the future: today is {now:%Y-%m-%d}.")
    return day + timedelta(days=1)


def _day(text: str, option: str) -> datetime:
    from datetime import datetime

    try:
        return datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise Misuse(f"{option} is '{text}': write a day such as 2026-06-30.") from None


def _print(report: MonitorReport, place: Path) -> None:
    from rich.markup import escape

    from sovereign_ml.cli import console

    tones = {"ok": "green", "watch": "yellow", "alarm": "red", "not measured": "dim"}
    for state in report.states:
        tone = tones[state.status]
        # A group or a category may hold square brackets, which are markup for Rich.
        text = escape(f"{state.name:<30} {state.found}")
        console.out.print(f"[{tone}]{state.status:<12}[/] {text}")
    console.out.print(
        f"Version {report.model_version} on {report.day}: {report.status}. {len(report.alarms)} "
        f"unanswered alarms. Page: {escape(str(place))}"
    )

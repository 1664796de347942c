"""churn leave audit, parity, status, finish: what is wrong there, what differs, what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sovereign_ml.cli.leave.bring import DumpArgument, now, opened
from sovereign_ml.cli.profile import ProfileOption, load_settings

app = typer.Typer()


@app.command()
def status(profile: ProfileOption = None) -> None:
    """Say what was brought, what is still in SageMaker, and how old that knowledge is."""
    from sovereign_ml.leaving import progress

    settings = load_settings(profile)
    for line in progress.lines(progress.read(settings.root), now()):
        typer.echo(line)


@app.command()
def finish(
    dump: DumpArgument,
    script: Annotated[
        Path | None, typer.Option(help="Write the deletion script here; it calls nothing itself.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Write the deletion script; without --script, confirm from a later dump that nothing is left."""
    from sovereign_ml.leaving import progress

    settings = load_settings(profile)
    answers = opened(settings, dump)
    if script is None:
        progress.finished(settings.root, answers, now())
        typer.echo(f"Nothing is left in SageMaker. Evidence: {progress.REPORT}. Delete {dump} now.")
        return
    text = progress.deletion_script(answers)
    progress.note(settings.root, answers, "script", {}, now())
    progress.note_script(settings.root, now())
    script.write_text(text, encoding="utf-8")
    typer.echo(
        f"{text.count('aws --region')} commands are in {script}. Read them before you run them."
    )

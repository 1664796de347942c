"""churn leave tracker and tracks: write to SageMaker and MLflow at once, and compare both."""

from __future__ import annotations

from typing import Annotated

import typer

from sovereign_ml.cli.card_output import now
from sovereign_ml.cli.leave.bring import DumpArgument, KeepOption, minimiser, opened
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Refused

SHOWN = 20
app = typer.Typer()


@app.command()
def tracker(
    environment: Annotated[
        bool, typer.Option("--environment", help="Print the variables that the job needs instead.")
    ] = False,
    profile: ProfileOption = None,
) -> None:
    """Print both_tracks.py, with which a SageMaker script writes its runs to MLflow too."""
    from sovereign_ml.leaving.both_tracks.one_file import one_file
    from sovereign_ml.leaving.minimise import marks_key

    settings = load_settings(profile)
    if not environment:
        typer.echo(one_file(settings.tracking.project), nl=False)
        return
    uri = settings.tracking.uri if settings.tracking.on_server else ""
    typer.echo(f"MLFLOW_TRACKING_URI={uri}")
    typer.echo(f"BOTH_TRACKS_KEY={marks_key(settings.pseudonym_key()).hex()}")
    if not uri:
        # Not to standard output, which people write into a file of variables.
        typer.echo(
            "MLflow of this profile is a file, which no job on SageMaker reaches: name the address "
            "of a server, such as that of --profile eu.",
            err=True,
        )


@app.command()
def tracks(
    dump: DumpArgument,
    enough_runs: Annotated[
        int, typer.Option(min=1, help="Runs in a row without a difference that are enough.")
    ] = 20,
    enough_days: Annotated[
        int, typer.Option(min=1, help="Days without a difference that are enough.")
    ] = 14,
    keep: KeepOption = None,
    profile: ProfileOption = None,
) -> None:
    """Compare the runs that both SageMaker and MLflow hold. Exit 1 unless they are the same."""
    from sovereign_ml.leaving import progress
    from sovereign_ml.leaving.both_tracks.track_comparison import compare_tracks

    settings = load_settings(profile)
    answers = opened(settings, dump)
    result = compare_tracks(answers, settings.tracking, minimiser(settings, keep))
    typer.echo(f"{result.compared:,} runs are in both tracks.")
    lines = [f"{row.run}: {row.what}" for row in result.differences]
    lines += [f"{name}: only in SageMaker" for name in result.only_there]
    lines += [f"{name}: only in MLflow" for name in result.only_here]
    for line in lines[:SHOWN]:
        typer.echo(f"  {line}")
    if len(lines) > SHOWN:
        typer.echo(f"  and {len(lines) - SHOWN:,} more")
    for reason, count in result.skipped.items():
        typer.echo(f"  left: {count:,}, {reason}")
    is_enough = result.is_enough(enough_runs, enough_days, now())
    facts = {
        "verdict": result.verdict,
        "compared": result.compared,
        "differing": len({row.run for row in result.differences}),
        "only in SageMaker": len(result.only_there),
        "only in MLflow": len(result.only_here),
        "may end": is_enough,
    }
    # Noted before a refusal too: the report says why SageMaker cannot be retired yet.
    progress.note(settings.root, answers, "tracks", facts, now())
    if result.compared:
        end = (
            "SageMaker Experiments may be retired." if is_enough else "not enough to retire it yet."
        )
        typer.echo(f"The newest {result.streak:,} runs show no difference: {end}")
    if result.verdict != "same":
        reason = (
            "the tracks differ"
            if result.verdict == "differs"
            else "no run is in both: use `churn leave tracker` first, or make a newer dump"
        )
        raise Refused(f"Verdict: {result.verdict}: {reason}.")
    typer.echo("Verdict: same.")

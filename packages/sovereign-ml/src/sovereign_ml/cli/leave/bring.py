"""churn leave script, fetch and the imports of runs, registry, cards, features, notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sovereign_ml.cli.card_output import now
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings
    from sovereign_ml.leaving.dump import Dump
    from sovereign_ml.leaving.minimise import Minimiser
    from sovereign_ml.leaving.runs import Brought

app = typer.Typer()
DumpArgument = Annotated[Path, typer.Argument(help="The folder of the dump.")]
RegionOption = Annotated[str, typer.Option(help="Region of the account, such as eu-central-1.")]
KeepOption = Annotated[
    list[str] | None,
    typer.Option("--keep", help="A parameter to bring as it is, after you looked; repeatable."),
]


def opened(settings: Settings, folder: Path) -> Dump:
    """Return the dump, which must be whole and outside of what git would commit."""
    from sovereign_ml.leaving.dump import open_dump
    from sovereign_ml.leaving.progress import safe_place

    # Of a folder that is not there, only that is worth saying.
    if folder.exists():
        safe_place(settings.root, folder)
    dump = open_dump(folder, settings.leave.person_keys)
    # Standard output may be JSON for another program.
    for gap in dump.gaps(now()):
        typer.echo(f"Note: {gap}", err=True)
    for line in dump.notes[:3]:
        typer.echo(f"Note: {line}", err=True)
    if len(dump.notes) > 3:
        typer.echo(f"Note: {len(dump.notes) - 3} more members are new or lacking.", err=True)
    return dump


def inside(folder: Path, name: str) -> Path:
    """Return the folder ``name`` below the dump. Raises Misuse for a name that points out of it."""
    path = folder / name
    # Names come from SageMaker's answers, which may be forged.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Misuse(f"{name!r} is no name that SageMaker gives: it points out of the dump.")
    return path


def minimiser(settings: Settings, keep: list[str] | None = None) -> Minimiser:
    """Return the rules of minimisation with the project's key."""
    from sovereign_ml.leaving.minimise import Minimiser, marks_key

    return Minimiser(marks_key(settings.pseudonym_key()), frozenset(keep or ()))


@app.command()
def script(
    region: RegionOption = "eu-central-1",
    data: Annotated[
        bool, typer.Option("--data", help="Copy the rows of people too: offline stores, captures.")
    ] = False,
) -> None:
    """Print a shell script that makes the dump with the AWS CLI, wherever that has credentials."""
    from sovereign_ml.leaving import catalogue

    _checked_region(region)
    typer.echo(catalogue.script(region, data=data), nl=False)


@app.command()
def fetch(
    dump: DumpArgument,
    region: RegionOption,
    online: Annotated[
        list[str] | None, typer.Option(help="Feature group whose online records are fetched.")
    ] = None,
    endpoint: Annotated[str, typer.Option(help="Another address than that of AWS.")] = "",
    profile: ProfileOption = None,
) -> None:
    """Make or continue the dump with boto3. This is the only command that reaches AWS."""
    from sovereign_ml.leaving import fetch as fetching
    from sovereign_ml.leaving.progress import safe_place

    settings = load_settings(profile)
    _checked_region(region)
    safe_place(settings.root, dump)
    questions = fetching.fetch(dump, region, endpoint=endpoint, online=tuple(online or ()))
    refused = (dump / "refused.txt").read_text(encoding="utf-8").splitlines()
    typer.echo(f"{questions} questions asked, {len(refused)} refused. The dump is in {dump}.")
    for line in refused:
        typer.echo(f"  refused: {line}")


def _checked_region(region: str) -> None:
    from sovereign_ml.leaving.catalogue import REGION

    # The region becomes a part of host names and of the script.
    if not REGION.fullmatch(region):
        raise Misuse(f"{region!r} is no region of AWS, such as eu-central-1.")


@app.command()
def runs(
    dump: DumpArgument,
    experiment: Annotated[str, typer.Option(help="Only this experiment of SageMaker.")] = "",
    older: Annotated[
        bool, typer.Option("--older", help="Bring runs past their retention period too.")
    ] = False,
    keep: KeepOption = None,
    profile: ProfileOption = None,
) -> None:
    """Write experiments, trials and training jobs as MLflow runs with their own times."""
    from sovereign_ml.leaving import runs as past

    settings = load_settings(profile)
    answers, rules = opened(settings, dump), minimiser(settings, keep)
    # The next retention would delete runs past their period again.
    before = None if older else settings.retention.runs.before(now())
    result = past.bring(
        answers, settings.tracking, rules, ended_after=before, only=experiment, progress=_tick
    )
    _done(settings, answers, "runs", result, rules)


@app.command()
def registry(dump: DumpArgument, keep: KeepOption = None, profile: ProfileOption = None) -> None:
    """Write model packages as MLflow versions of models of their own. None gets an alias."""
    from sovereign_ml.leaving import registered

    settings = load_settings(profile)
    answers, rules = opened(settings, dump), minimiser(settings, keep)
    result = registered.bring_packages(answers, settings.tracking, rules)
    _done(settings, answers, "registry", result, rules)


@app.command()
def cards(dump: DumpArgument, profile: ProfileOption = None) -> None:
    """Write SageMaker cards as suggestions for model_card.toml, into data/leaving/cards."""
    from sovereign_ml.leaving import progress, registered

    settings = load_settings(profile)
    answers = opened(settings, dump)
    output = settings.root / "data/leaving/cards"
    written, refused = registered.bring_cards(answers, output)
    for name, status in written:
        typer.echo(f"{name}: status {status or 'none'!r} in SageMaker, which approves nothing here")
    facts = {"made": len(written), "left": {"not readable": len(refused)}}
    # Noted before the refusal: the other cards were written.
    progress.note(settings.root, answers, "cards", facts, now())
    typer.echo(f"{len(written)} cards are in {output.relative_to(settings.root)}.")
    if refused:
        raise Refused("Not read:\n" + "\n".join(f"  - {line}" for line in refused))


@app.command()
def features(
    dump: DumpArgument,
    group: Annotated[list[str] | None, typer.Option(help="Only this feature group.")] = None,
    key_is: Annotated[
        Literal["person", "thing", ""], typer.Option(help="What the key of the group singles out.")
    ] = "",
    profile: ProfileOption = None,
) -> None:
    """Write offline stores under pseudonyms, without people deleted there or erased here."""
    from sovereign_ml.leaving import offline_rows, progress

    settings = load_settings(profile)
    answers = opened(settings, dump)
    groups = answers.feature_groups()
    if unknown := sorted(set(group or ()) - groups.keys()):
        raise Misuse(f"No feature group {unknown[0]}: the dump has {', '.join(groups) or 'none'}.")
    if not groups:
        typer.echo("The dump has no feature group: there are no rows to bring.")
    facts: dict[str, object] = {}
    refused = []
    for name in group or groups:
        try:
            if "OfflineStoreConfig" not in groups[name]:
                typer.echo(f"{name}: it has no offline store, so there are no rows to bring")
                continue
            is_person = answers.is_about_people(groups[name])
            described = offline_rows.group_of(
                groups[name],
                inside(answers.folder, f"offline/{name}"),
                key_is or ("person" if is_person else ""),
            )
            done = offline_rows.bring_group(
                described,
                settings.root / "data/leaving",
                dump_time=answers.made,
                keys=settings.pseudonym_keys(),
                barred=barred(settings),
            )
        except (Refused, Misuse) as error:
            # A group that cannot be read keeps no other group back.
            refused.append(str(error))
            continue
        omitted = {reason: count for reason, count in done.skipped.items() if count}
        # The name of a group about people can hold a person's id.
        label = described.name if not described.person else f"group {len(facts) + 1}"
        counts = {"made": done.rows, "deleted there": done.deleted_people, "left": omitted}
        facts[label] = counts
        typer.echo(
            f"{described.name}: {done.rows:,} of {done.read:,} rows, of {done.people:,} keys; "
            f"{done.deleted_people:,} keys are deleted in SageMaker and stay out"
        )
        for reason, count in omitted.items():
            typer.echo(f"  left: {count:,}, {reason}")
        if done.identifiers:
            typer.echo(f"  columns left out as identifiers: {', '.join(done.identifiers)}")
        if done.undescribed:
            typer.echo(f"  columns that no feature describes: {', '.join(done.undescribed)}")
    progress.note(settings.root, answers, "features", facts, now())
    if refused:
        raise Refused("Not brought:\n" + "\n".join(f"  - {line}" for line in refused))


@app.command()
def notebooks(
    dump: DumpArgument,
    with_hits: Annotated[
        bool, typer.Option("--with-hits", help="Bring cells with data too, after you looked.")
    ] = False,
    keep: KeepOption = None,
    profile: ProfileOption = None,
) -> None:
    """Write Studio's notebooks without outputs and cells with data, into notebooks/leaving."""
    from sovereign_ml.leaving import brought_notebooks, progress

    settings = load_settings(profile)
    answers, rules = opened(settings, dump), minimiser(settings, keep)
    output = settings.root / "notebooks/leaving"
    result = brought_notebooks.bring_notebooks(answers.folder, output, rules, with_hits=with_hits)
    counts = {"taken out": dict(result.removed), "left": dict(result.skipped)}
    facts = {"made": result.imported, "present": result.present, **counts}
    progress.note(settings.root, answers, "notebooks", facts, now())
    typer.echo(f"{result.imported:,} made, {result.present:,} there already.")
    for kind, reasons in counts.items():
        for reason, count in reasons.items():
            typer.echo(f"  {kind}: {count:,}, {reason}")


@app.command()
def pipelines(dump: DumpArgument, profile: ProfileOption = None) -> None:
    """Write each pipeline's steps with counterparts here, into governance/leaving/pipelines."""
    from sovereign_ml.leaving import pipelines as pages
    from sovereign_ml.leaving import progress

    settings = load_settings(profile)
    answers = opened(settings, dump)
    output = settings.root / "governance/leaving/pipelines"
    written, refused = pages.write_pages(answers, output, minimiser(settings))
    facts = {"made": len(written), "left": {"not readable": len(refused)}}
    progress.note(settings.root, answers, "pipelines", facts, now())
    for line in written:
        typer.echo(line)
    typer.echo(f"{len(written)} pages are in {output.relative_to(settings.root)}.")
    if refused:
        raise Refused("Not read:\n" + "\n".join(f"  - {line}" for line in refused))


def barred(settings: Settings) -> Callable[[Iterable[str]], set[str]]:
    """Return a function that selects the pseudonyms of people erased or barred here.

    Bars are those of the service (GDPR Art. 17, 21, 18, 7(3)).
    """
    from sovereign_ml.privacy import objections, suppression

    stones = suppression.tombstones(settings.suppression)
    against = frozenset().union(*objections.barred(settings.log_location).values())

    def among(names: Iterable[str]) -> set[str]:
        pseudonyms = list(names)
        return set(stones.among(pseudonyms)) | (set(pseudonyms) & against)

    return among


def _tick(count: int) -> None:
    if count % 100 == 0:
        typer.echo(f"  {count:,} …", err=True)


def _done(settings: Settings, dump: Dump, step: str, result: Brought, rules: Minimiser) -> None:
    from sovereign_ml.leaving import progress

    minimised = {reason: count for reason, count in sorted(rules.left_out.items()) if count}
    facts = {
        "made": result.imported,
        "present": result.present,
        "left": dict(result.skipped),
        "minimised": minimised,
    }
    # The addresses go first: marks without them would name places that nobody can find again.
    progress.keep_places(settings.root, rules.places)
    progress.note(settings.root, dump, step, facts, now())
    typer.echo(f"{result.imported:,} made, {result.present:,} there already.")
    if result.repaired:
        typer.echo(
            f"{result.repaired:,} left by an interrupted call were deleted and imported again."
        )
    for reason, count in result.skipped.items():
        typer.echo(f"  left: {count:,}, {reason}")
    for reason, count in minimised.items():
        typer.echo(f"  minimised: {count:,}, {reason}")
    for name in sorted(rules.kept_on_request):
        typer.echo(f"  kept on request: {name}")

"""churn leave parity: old features and old scores against ours."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sovereign_ml.cli.card_output import now
from sovereign_ml.cli.leave.bring import DumpArgument, barred, inside, opened
from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings
    from sovereign_ml.leaving.dump import Dump, Record
    from sovereign_ml.leaving.feature_parity.bands import ServedModel
    from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay
    from sovereign_ml.leaving.feature_parity.result import FeatureParity

app = typer.Typer()


@app.command()
def parity(
    dump: DumpArgument,
    group: Annotated[list[str] | None, typer.Option(help="Only this feature group.")] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Compare the records of the online store instead.")
    ] = False,
    moments: Annotated[
        int, typer.Option(min=0, help="Event times to compare, those with most rows; 0 for all.")
    ] = 60,
    values: Annotated[
        bool, typer.Option("--values", help="Show the values of the first differences too.")
    ] = False,
    endpoint: Annotated[
        str, typer.Option(help="Compare scores: the endpoint whose captured requests are scored.")
    ] = "",
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
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Compare old features, or with --endpoint old scores, with ours. Exit 1 unless the same."""
    settings = load_settings(profile)
    answers = opened(settings, dump)
    if endpoint:
        if group or online:
            raise Misuse("--endpoint compares scores, --group and --online features: name one.")
        scores = _ScoreRequest(endpoint, columns, answer, tolerance, may_lack)
        _compare_scores(settings, answers, scores, as_json=as_json)
    else:
        features = _FeatureRequest(online, moments, may_lack, values)
        _compare_features(settings, answers, group or [], features, as_json=as_json)


@dataclass(frozen=True)
class _ScoreRequest:
    endpoint: str
    columns: str
    answer: str
    tolerance: float
    may_lack: float


def _compare_scores(
    settings: Settings, answers: Dump, request: _ScoreRequest, *, as_json: bool
) -> None:
    """Score captured requests by the new bundle. Raises Refused unless the answers are the same."""
    from sovereign_ml.leaving import progress, scores
    from sovereign_ml.pipeline.batch_scoring import read_whole

    files = scores.captured(inside(answers.folder, f"capture/{request.endpoint}"))
    bundle = read_whole(settings.path("bundle"))
    columns = request.columns
    result = scores.compare_scores(
        *(files, bundle.model, bundle.contract, bundle.policy),
        columns=tuple(name.strip() for name in columns.split(",")) if columns else (),
        answer=request.answer,
        tolerance=request.tolerance,
    )
    verdict = result.verdict(request.may_lack)
    facts = {
        "verdict": verdict,
        "compared": len(result.differences),
        "differing": result.over,
        "in another band": result.bands_changed,
        "left": dict(result.skipped),
        "tolerance": request.tolerance,
        "largest difference": round(result.largest, 6),
    }
    lines = [
        f"{result.lines:,} captured requests, {len(result.differences):,} of {result.rows:,} rows "
        "compared.",
        *(f"  left: {count:,}, {reason}" for reason, count in result.skipped.most_common()),
        f"{result.over:,} differ by more than {request.tolerance}; the largest difference is "
        f"{result.largest:.6f}. {result.bands_changed:,} are in another band.",
    ]
    if cause := result.cause():
        lines.append(f"  {cause}")
    typer.echo(json.dumps(facts, indent=1) if as_json else "\n".join(lines))
    progress.note(settings.root, answers, "parity", facts, now())
    if verdict != "same":
        shortfall = (
            "the scores differ" if verdict == "differs" else "too few rows could be compared"
        )
        raise Refused(
            f"Verdict: {verdict}: {shortfall}. Keep the old endpoint until they are the same."
        )
    if not as_json:
        typer.echo("Verdict: same.")


@dataclass(frozen=True)
class _FeatureRequest:
    online: bool
    moments: int
    may_lack: float
    values: bool

    @property
    def source(self) -> str:
        return "online" if self.online else "offline"

    def is_stored(self, group: Record) -> bool:
        """Return whether a feature group has the store whose rows are compared."""
        if self.online:
            return bool(group.get("OnlineStoreConfig", {}).get("EnableOnlineStore"))
        return "OfflineStoreConfig" in group


def _compare_features(
    settings: Settings,
    answers: Dump,
    names: Sequence[str],
    request: _FeatureRequest,
    *,
    as_json: bool,
) -> None:
    """Compare feature groups with ours. Raises Refused unless all are the same."""
    from sovereign_ml.leaving import progress

    groups = answers.feature_groups()
    if unknown := sorted(set(names) - groups.keys()):
        raise Misuse(f"No feature group {unknown[0]}: the dump has {', '.join(groups) or 'none'}.")
    if unknown := sorted(settings.leave.parity.keys() - groups.keys()):
        raise Misuse(
            f"config.toml [leave.parity] names the feature group {unknown[0]}: the dump has "
            f"{', '.join(groups) or 'none'}."
        )
    stored = [name for name, row in groups.items() if request.is_stored(row)]
    # Somebody chose the groups in config.toml, so they come before all that exist.
    chosen = names or [name for name in groups if name in settings.leave.parity] or stored
    if not chosen:
        raise Misuse(
            f"{answers.folder} has no feature group with an {request.source} store: there is "
            "nothing to compare."
        )
    may_differ = settings.leave.tolerance.may_differ
    output: list[dict[str, Any]] = []
    problems, facts = [], {}
    # The tables hold data of people, so they are deleted with the end of this call.
    with tempfile.TemporaryDirectory() as spill:
        for number, name in enumerate(chosen, 1):
            if name not in stored:
                problems.append(f"{name}: not compared: it has no {request.source} store")
                continue
            try:
                result = _compared(settings, answers, name, request, Path(spill))
            except (Misuse, Refused) as error:
                problems.append(f"{name}: not compared: {error}")
                continue
            verdict = result.verdict(may_differ, request.may_lack)
            if verdict != "same":
                problems.append(f"{name}: {verdict}: {_SHORTFALL[verdict]}")
            output.append({**result.to_json(), "verdict": verdict})
            # The name of a group can hold a person's id, and the report is in git.
            facts[f"group {number}"] = _facts(result, verdict)
            if not as_json:
                typer.echo("\n".join([*result.lines(), f"  verdict: {verdict}"]))
    if as_json:
        typer.echo(json.dumps({"groups": output, "problems": problems}, indent=1))
    progress.note(settings.root, answers, f"parity of {request.source} features", facts, now())
    if problems:
        raise Refused(
            "Verdict:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
            + "\nKeep the old store until they are the same. docs/leave-sagemaker.md explains the "
            "causes and [leave.tolerance]."
        )
    if not as_json:
        typer.echo("Verdict: same.")


_SHORTFALL = {
    "differs": "values differ by more than [leave.tolerance] allows",
    "not shown": "more rows than --may-lack allows could not be compared",
}


def _facts(result: FeatureParity, verdict: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "verdict": verdict,
        "rows compared": result.compared,
        "values differing": result.differing,
        "left": dict(result.skipped),
        "only here": result.extra,
    }
    if result.effect is not None:
        facts["people in another band"] = result.effect.people
    return facts


def _compared(
    settings: Settings, answers: Dump, name: str, request: _FeatureRequest, spill: Path
) -> FeatureParity:
    """Return the comparison of one feature group."""
    from sovereign_ml.leaving import offline_rows
    from sovereign_ml.leaving.feature_parity import online
    from sovereign_ml.leaving.feature_parity.group_comparison import compare_group

    described = offline_rows.group_of(
        answers.feature_groups()[name], inside(answers.folder, f"offline/{name}"), "person"
    )
    if request.online:
        # Only for its check: `answers_of` builds the path by itself.
        inside(answers.folder, f"online/{name}")
        rows = spill / "online.parquet"
        online.write_online(
            described,
            online.answers_of(answers.folder, name),
            rows,
            dump_time=answers.made,
            keys=settings.pseudonym_keys(),
            barred=barred(settings),
        )
    else:
        rows = settings.root / "data/leaving" / offline_rows.folder_name(name) / "rows.parquet"
        if not rows.is_file():
            raise Misuse(f"its rows were not brought: `churn leave features DUMP --group {name}`")
    replay = _replay(settings, spill)
    newest = None
    if request.online and (settings.path("features") / "summary.json").is_file():
        newest = online.our_online_values(
            replay.connection,
            settings.path("features"),
            settings.feature_stores,
            _stored(settings),
        )
    try:
        return compare_group(
            *(replay, rows, name, settings.leave.parity.get(name, {}), settings.leave.tolerance),
            source=request.source,
            moments=request.moments,
            served=_served(settings),
            values=request.values,
            newest=newest,
        )
    finally:
        replay.close()


def _replay(settings: Settings, spill: Path) -> FeatureReplay:
    from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay
    from sovereign_ml.project import load_project

    return FeatureReplay(
        load_project(settings.root),
        settings.path("valid"),
        settings.features,
        settings.label.kind,
        spill,
    )


def _stored(settings: Settings) -> tuple[str, ...]:
    """Return the names of the features that the online store has."""
    from sovereign_ml.project import load_project

    return load_project(settings.root).with_inputs(settings.features.inputs).feature_names


def _served(settings: Settings) -> ServedModel | None:
    """Return the served model, or None before the first one is registered."""
    from sovereign_ml.leaving.feature_parity.bands import ServedModel
    from sovereign_ml.pipeline.batch_scoring import read_whole

    if not settings.path("bundle").is_dir():
        return None
    bundle = read_whole(settings.path("bundle"))
    return ServedModel(bundle.model, bundle.contract, bundle.policy)

"""Execution of a step with its inputs, its output, and the settings and tools it asks for.

A step asks by its signature.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from threadpoolctl import threadpool_limits

from sovereign_ml.config.settings import ENVIRONMENT, Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.project import Project, Step
from sovereign_ml.storage.artifacts import need

Provided = Mapping[type, Callable[[], Any]]
"""Types that steps may ask for, each with a function that makes the value."""


def run_step(verb: str, settings: Settings, project: Project) -> dict[str, Any]:
    """Run one step on the project's own artifacts and return its summary with ``seconds``.

    The duration is also kept for the table of steps.
    """
    step = project.step(verb)
    if verb == "train":
        from sovereign_ml.monitoring.alarms import refuse_training
        from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy

        # A scheduled run may have found bad data that this folder does not know of.
        MonitorCopy(settings.project.name, settings.data_versions).sync()
        refuse_training(settings.root)
    start = time.perf_counter()
    inputs = [settings.path(noun) for noun in step.reads]
    output = settings.path(step.writes)
    run_on(step, project, provided(settings, project), inputs, output)
    seconds = round(time.perf_counter() - start, 1)
    result = {**summary(output), "seconds": seconds, "finished": time.time()}
    remember(settings.root, verb, result)
    return result


def run_on(
    step: Step, project: Project, providers: Provided, inputs: Sequence[Path], output: Path
) -> None:
    """Run a step on these inputs.

    Raises Misuse for an artifact that is missing, with the command to run.
    """
    writers = {other.writes: other.verb for other in project.steps}
    for noun, folder in zip(step.reads, inputs, strict=True):
        # The pinned source has no step that writes it, so no command could be named.
        if noun in writers:
            need(folder, writers[noun])
    call(project.function(step), providers, inputs, output)


def call(
    function: Callable[..., None], providers: Provided, inputs: Sequence[Path], output: Path
) -> None:
    """Call the function of a step with paths and its keyword-only arguments.

    A step that takes ``config: TrainSettings`` gets the table ``[train]`` of config.toml. Linear
    algebra and OpenMP work on one thread, unless OMP_NUM_THREADS sets the number.
    """
    # Threads that wait for one another spin. On a busy machine this takes twice the processor time
    # and four times as long.
    limits = None if "OMP_NUM_THREADS" in ENVIRONMENT else 1
    with threadpool_limits(limits):
        function(*inputs, output, **arguments(function, providers))


def arguments(function: Callable[..., None], providers: Provided) -> dict[str, Any]:
    """Return the keyword-only arguments of ``function`` by their annotated type.

    Raises Misuse that names a type that the library does not provide.
    """
    try:
        hints = get_type_hints(function)
    except NameError as error:  # such as a type that is imported under TYPE_CHECKING only
        raise Misuse(
            f"The types of {function.__name__}(): {error}. A step imports the types it asks for."
        ) from None
    values = {}
    for name, parameter in inspect.signature(function).parameters.items():
        # The positional ones are the paths of inputs and output.
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        kind: Any = hints.get(name)
        if kind not in providers:
            names = ", ".join(sorted(known_kind.__name__ for known_kind in providers))
            raise Misuse(
                f"{function.__name__}() asks for {name}: {getattr(kind, '__name__', kind)}, which "
                f"no step is given. Types that are: {names}."
            )
        values[name] = providers[kind]()
    return values


def provided(settings: Settings, project: Project) -> Provided:
    """Return the values that a step may ask for.

    These are tables of config.toml, connections and guarded parts. The project has the features
    that ``[features] inputs`` names.
    """
    project = project.with_inputs(settings.features.inputs)
    tables = {type(value): value for _, value in settings if _is_table(value)}
    connections = {
        type(value): value
        for value in (
            settings.storage,
            settings.tracking,
            settings.feature_stores,
            settings.spark_cluster,
            settings.data_versions,
            settings.log_location,
        )
    }
    values: dict[type, Any] = {**tables, **connections, Project: project}
    return {kind: _constant(value) for kind, value in values.items()} | _parts(settings, project)


def _parts(settings: Settings, project: Project) -> dict[type, Callable[[], Any]]:
    from sovereign_ml.pipeline.batch_scoring import ScoringGate
    from sovereign_ml.pipeline.card_builder import CardBuilder
    from sovereign_ml.pipeline.input_tables import Gates
    from sovereign_ml.pipeline.intake import Intake
    from sovereign_ml.pipeline.lineage import Lineage
    from sovereign_ml.pipeline.registration import Registration
    from sovereign_ml.pipeline.source import input_files, shop_may_be_old

    return {
        # Made only when a step asks for it, because a step needs one or two of these.
        Intake: lambda: Intake(
            files=input_files(settings),
            gates=Gates(
                raw=settings.path("raw"),
                versions=settings.data_versions,
                suppression=settings.suppression,
                log=settings.log_location,
                asks_consent=settings.data.asks_consent,
            ),
        ),
        Lineage: lambda: Lineage(settings.root),
        CardBuilder: lambda: CardBuilder(settings, project),
        Registration: lambda: Registration(
            project=project,
            limits=settings.register_,
            score=settings.score,
            decision=settings.decision,
            windows=settings.features,
            label=settings.label,
            evaluate=settings.evaluate,
            early_days=settings.monitor.early_days,
            rules=settings.rule_policy,
            contact=settings.project.contact,
            tracking=settings.tracking,
        ),
        ScoringGate: lambda: ScoringGate(
            settings.data.asks_consent,
            settings.log_location,
            old_features=settings.old_features_asked or shop_may_be_old(settings),
        ),
    }


def _is_table(value: object) -> bool:
    return type(value).__name__.endswith("Settings")


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def summary(artifact: Path) -> dict[str, Any]:
    """Return the summary that a step wrote about its artifact, empty if it has not run."""
    path = artifact / "summary.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def remember(root: Path, verb: str, result: dict[str, Any]) -> None:
    """Keep the end and the duration of a step's run."""
    # Outside the artifacts, because those must be the same bytes on every run.
    path = _log(root, verb)
    path.parent.mkdir(parents=True, exist_ok=True)
    side = path.with_suffix(".part")
    side.write_text(
        json.dumps({"seconds": result["seconds"], "finished": result["finished"]}), encoding="utf-8"
    )
    # Replaced as a whole, so that no reader meets half a file.
    side.replace(path)


def recall(root: Path, verb: str) -> dict[str, float]:
    """Return seconds and end of the last run of a step, empty if there is none."""
    try:
        content: dict[str, float] = json.loads(_log(root, verb).read_text(encoding="utf-8"))
    # A duration is only shown, so a broken note of it must not stop anything.
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content


def _log(root: Path, verb: str) -> Path:
    return root / ".churn" / "steps" / f"{verb}.json"

"""Output for people: progress and one table on a terminal, plain lines when piped."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sovereign_ml.config.settings import Settings
from sovereign_ml.config.tables import ProjectSettings
from sovereign_ml.pipeline import flow
from sovereign_ml.project import Step

HEAD: dict[str, Literal["left", "right"]] = {
    "step": "left",
    "seconds": "right",
    "rows in": "right",
    "rows out": "right",
    "result": "left",
}
# Piped lines are not folded: the next program reads them one by one.
PIPED_WIDTH = 400


out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
# A message that is not folded can be copied and searched as one line.
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def working(step: Step) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show a spinner while a step runs (terminal only), then print one line with its result."""
    number, verb = step.number, step.verb
    lines: list[dict[str, Any]] = []
    if out.is_terminal:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=out, transient=True) as progress:
            progress.add_task(f"{number} {verb}", total=None)
            yield lines.append
    else:
        yield lines.append
    # After the spinner is gone, which would overwrite the line.
    for line in lines:
        # A headline, a title or a path may hold square brackets, which are markup for Rich.
        headline = escape(line["headline"])
        out.print(f"[green]{number} {verb:<9}[/] {line['seconds']:>6.1f} s  {headline}")


def warn_placeholders(profile: str, project: ProjectSettings) -> None:
    """Warn of placeholders in `local`. `settings.load` refuses them in other profiles."""
    if profile == "local" and project.name.startswith("{{"):
        err.print("[yellow]Warning:[/] config.toml was not rendered; names are placeholders.")


def table(settings: Settings, steps: Sequence[Step], since: float) -> None:
    """Print seconds, rows and headline of each step of `make run`, then the next commands."""
    rows = [_row(settings.root, settings.path(step.writes), step, since) for step in steps]
    out.print()
    if out.is_terminal:
        grid = Table(
            title=escape(f"{settings.project.title} ({settings.profile_name})"),
            title_justify="left",
        )
        for name, justify in HEAD.items():
            grid.add_column(name, justify=justify, overflow="fold")
        for row in rows:
            grid.add_row(*map(escape, row))
        out.print(grid)
    else:
        for step, seconds, rows_in, rows_out, result in (tuple(HEAD), *rows):
            out.print(f"{step:<11} {seconds:>9} {rows_in:>10} {rows_out:>10}  {escape(result)}")
    card = escape(f"{settings.paths.card}/card.html")
    out.print(f"Done in {time.time() - since:.1f} s. Model card: {card}")
    out.print(
        "Next: git add -A && git commit; make serve (the service), make ui (MLflow), "
        "make check (open questions)"
    )


def _row(root: Path, artifact: Path, step: Step, since: float) -> tuple[str, ...]:
    summary, ran = flow.summary(artifact), flow.recall(root, step.verb)
    # A step that ended before this call was up to date, so it did not run.
    seconds = f"{ran['seconds']:.1f}" if ran.get("finished", 0) >= since else "unchanged"
    rows_in, rows_out = (f"{summary[k]:,}" if k in summary else "" for k in ("rows_in", "rows_out"))
    return (
        f"{step.number} {step.verb}",
        seconds,
        rows_in,
        rows_out,
        str(summary.get("headline", "not run")),
    )


def pipeline_result(title: str, steps: Sequence[Step], artifacts: Mapping[str, Path]) -> None:
    """Print one line for each step of a pipeline run, and where its artifacts are."""
    for step in steps:
        summary = flow.summary(artifacts[step.writes])
        out.print(f"[green]{step.number} {step.verb:<9}[/] {escape(summary['headline'])}")
    folder = artifacts["raw"].parent.parent
    out.print(escape(f"Pipeline of {title} done. Artifacts: {folder}"))

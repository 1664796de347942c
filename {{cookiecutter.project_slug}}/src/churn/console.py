"""Output for people: progress and one table on a terminal, plain lines when piped."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table

from churn import flow
from churn.settings import Settings

PIPED_WIDTH = 400
"""Piped lines are not folded: the next program reads them one by one."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def working(verb: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A spinner with the seconds while a step runs (terminal only), then one line with its result."""
    number = flow.BY_VERB[verb].number
    lines: list[dict[str, Any]] = []
    if out.is_terminal:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=out, transient=True) as progress:
            progress.add_task(f"{number} {verb}", total=None)
            yield lines.append
    else:
        yield lines.append
    for line in lines:
        out.print(f"[green]{number} {verb:<9}[/] {line['seconds']:>6.1f} s  {line['headline']}")


def warn_placeholders(settings: Settings) -> None:
    """A placeholder warns in `local`; `settings.load` makes it an error elsewhere."""
    if settings.profile_name == "local" and settings.project.name.startswith("{{"):
        err.print("[yellow]Warning:[/] config.toml was not rendered; names are placeholders.")


def table(settings: Settings, since: float) -> None:
    """The table at the end of `make run`: seconds, rows and headline of each step, then where to go next."""
    lines = {"box": ROUNDED} if out.is_terminal else {"box": None, "show_edge": False}
    shown = Table(title=f"{settings.project.title} ({settings.profile_name})", title_justify="left", **lines)
    for name, justify in (
        ("step", "left"),
        ("seconds", "right"),
        ("rows in", "right"),
        ("rows out", "right"),
        ("", "left"),
    ):
        shown.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for step in flow.STEPS:
        found, ran = flow.summary(settings, step), flow.recall(settings.root, step.verb)
        fresh = ran.get("finished", 0) >= since
        seconds = f"{ran['seconds']:.1f}" if fresh else "unchanged"
        rows = [f"{found[k]:,}" if k in found else "" for k in ("rows_in", "rows_out")]
        shown.add_row(f"{step.number} {step.verb}", seconds, *rows, found.get("headline", "not run"))
    out.print(shown)
    out.print(f"Done in {time.time() - since:.1f} s. Model card: {settings.paths.card}/card.html")
    out.print("Next: make serve (the service), make ui (MLflow), make check (what the card still asks), make help")


def pipeline_result(settings: Settings, artifacts: Mapping[str, Path]) -> None:
    """One line a step of a pipeline run, and where its artifacts are."""
    for step in flow.STEPS:
        found = json.loads((artifacts[step.writes] / "summary.json").read_text(encoding="utf-8"))
        out.print(f"[green]{step.number} {step.verb:<9}[/] {found['headline']}")
    out.print(f"Pipeline of {settings.project.title} done. Artifacts: {artifacts['raw'].parent.parent}")

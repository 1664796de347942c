"""churn leave: move from SageMaker by a dump of its answers. Only `fetch` reaches AWS."""

from __future__ import annotations

import typer

from sovereign_ml.cli.leave import bring, differences, look, tracks

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True,
    help="Leave SageMaker, to the proof that nothing is left there.",
)
for part in (bring, tracks, differences, look):
    group.registered_commands += part.app.registered_commands
app.add_typer(group, name="leave")

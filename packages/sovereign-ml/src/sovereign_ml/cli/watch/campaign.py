"""churn campaign: the list for the CRM with a control group, and its measured effect."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.errors import Misuse, Refused

if TYPE_CHECKING:
    import pandas as pd

    from sovereign_ml.config.settings import Settings
    from sovereign_ml.decision_log import DecisionLog

MOST_EUR = 1e9
"""Largest amount of an option. Without a limit "inf" is one too, and the result no number."""
app = typer.Typer()
campaign_app = typer.Typer(no_args_is_help=True)
app.add_typer(
    campaign_app,
    name="campaign",
    help="Offers with a control group: the list, and what it changed.",
)


@campaign_app.command("list")
def list_command(
    name: Annotated[str, typer.Argument(help="A new name, such as spring-2027.")],
    output: Annotated[Path, typer.Option(help="The CSV file to write for the CRM.")],
    share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share to take; default: contact_budget of the table evaluate."
        ),
    ] = None,
    # Without controls nobody could tell what the offer changed.
    control: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of them that gets no offer.")
    ] = 0.2,
    value: Annotated[
        str, typer.Option(help="A feature in EUR: take score times value, not score alone.")
    ] = "",
    effect: Annotated[
        float, typer.Option(min=0.001, max=1, help="Change of churn that must show.")
    ] = 0.05,
    profile: ProfileOption = None,
) -> None:
    """Draw people by score without objectors, hold back a control group, write the list."""
    from sovereign_ml.monitoring import campaign
    from sovereign_ml.privacy.tombstones import write_durably

    if output.exists():
        raise Misuse(f"{output} exists already: name a new file.")
    settings = load_settings(profile)
    scores = _may_be_contacted(settings, value)
    if not scores.empty and effect >= (mean := float(scores["score"].mean())):
        raise Misuse(
            f"--effect is {effect:g}, and a customer leaves with a chance of {mean:.3f} on average: "
            "no offer can prevent more than that. Take a smaller change."
        )
    size = round(len(scores) * (settings.evaluate.contact_budget if share is None else share))
    # One person cannot be both on the list and a control.
    if size < 2:
        raise Refused(
            f"{len(scores):,} people may be contacted, and the share takes {size}: one for the list "
            "and one control are the least. Take a larger --share."
        )
    # The draw is recorded before the list is written: nobody is contacted without a record. A
    # folder that cannot be written to must show before that, because a draw is never repeated.
    write_durably(output, "", mode=0o600)
    try:
        with _log(settings) as log:
            drawn = campaign.draw(
                log,
                scores,
                name=name,
                size=size,
                value=value,
                share=control,
                effect=effect,
                key=settings.pseudonym_key(),
            )
    except BaseException:
        # Also after Ctrl-C: an empty file would look like a list, and its name must stay free.
        output.unlink()
        raise
    write_durably(output, drawn.text, mode=0o600)
    typer.echo(
        f"{drawn.treated:,} on the list, {drawn.control:,} controls, {drawn.left_out:,} left out "
        f"who objected or were erased meanwhile. Wrote {output}, SHA-256 {drawn.sha256[:12]} is "
        "in the decision log."
    )
    if drawn.treated + drawn.control < drawn.needed:
        typer.echo(
            f"Warning: {drawn.needed:,} people are needed to show a change of {effect:.1%} "
            "(power 80 %). This campaign will most likely show nothing, even if it works."
        )


@campaign_app.command("result")
def result_command(
    name: Annotated[str, typer.Argument(help="The name that the list was made under.")],
    value: Annotated[
        float, typer.Option(min=0, max=MOST_EUR, help="EUR that a customer who stays is worth.")
    ],
    cost: Annotated[float, typer.Option(min=0, max=MOST_EUR, help="EUR that one contact costs.")],
    as_json: Annotated[bool, typer.Option("--json", help="For another program.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Compare treated and controls whose horizon is over."""
    from sovereign_ml.monitoring import campaign
    from sovereign_ml.monitoring.past_days import PastDays
    from sovereign_ml.privacy.objections import decision_log
    from sovereign_ml.project import load_project

    settings = load_settings(profile)
    project = load_project(settings.root)
    past = PastDays(project, settings.path("valid"), settings.features, settings.label.kind)
    with decision_log(settings.log_location) as log:
        if log is None:
            raise Misuse("There is no decision log, so no campaign was made here.")
        outcome = campaign.result(log, past, name, customer_value=value, cost=cost)
    if as_json:
        typer.echo(outcome.model_dump_json(indent=2))
        return
    uplift = outcome.uplift
    typer.echo(
        f"Churn {uplift.control_rate:.1%} of {uplift.control:,} controls, "
        f"{uplift.treated_rate:.1%} of {uplift.treated:,} treated; "
        f"{outcome.open:,} still open, {outcome.erased:,} erased or expired."
    )
    plain = f"{uplift.difference:+.1%} ({uplift.low:+.1%} to {uplift.high:+.1%})"
    adjusted = f"{uplift.adjusted:+.1%} ({uplift.adjusted_low:+.1%} to {uplift.adjusted_high:+.1%})"
    typer.echo(f"Prevented: {plain}, as it is")
    typer.echo(f"           {adjusted}, adjusted by score")
    typer.echo(
        f"Value: {outcome.value:,.0f} EUR ({outcome.value_low:,.0f} to {outcome.value_high:,.0f}) "
        f"if a customer who stays is worth {value:,.2f} EUR and a contact costs {cost:,.2f} EUR."
    )
    if not uplift.is_shown:
        typer.echo(
            "The interval holds zero: this does not show that the campaign changed anything."
        )


def _may_be_contacted(settings: Settings, value: str) -> pd.DataFrame:
    """Return the scores of everybody who may be contacted now.

    People on the suppression list, who objected or gave no consent are left out.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from sovereign_ml.pipeline.batch_scoring import ScoringGate
    from sovereign_ml.privacy import suppression
    from sovereign_ml.storage.artifacts import need

    scores = pd.read_parquet(need(settings.path("scores"), "score") / "scores.parquet")
    # Somebody may have objected since the scores were written.
    gate = ScoringGate(settings.data.asks_consent, settings.log_location)
    ids = pa.chunked_array([pa.array(scores["customer_id"], pa.string())])
    allowed, _ = gate.allowed(ids, settings.path("valid"))
    erased = set(suppression.tombstones(settings.suppression).among(scores["customer_id"]))
    scores = scores[np.asarray(allowed) & ~scores["customer_id"].isin(erased)]
    if not value:
        return scores.reset_index(drop=True)
    snapshots = pd.read_parquet(need(settings.path("features"), "features") / "snapshots.parquet")
    numbers = snapshots.select_dtypes("number").columns
    if value not in numbers:
        in_euro = ", ".join(name for name in numbers if "eur" in name.split("_"))
        raise Misuse(f"--value is '{value}': name a feature in EUR, such as {in_euro or 'none'}.")
    # A snapshot holds several cut-offs. Only the current one has today's customers.
    newest = snapshots[snapshots["event_timestamp"] == snapshots["event_timestamp"].max()]
    return scores.merge(newest[["customer_id", value]], on="customer_id").reset_index(drop=True)


def _log(settings: Settings) -> AbstractContextManager[DecisionLog]:
    """Open the log of the profile, and create its file if only batches were scored so far."""
    from sovereign_ml.privacy.objections import opened_log

    location = settings.log_location
    if not location.address and location.on_server:
        raise Misuse("DATABASE_URL is not set: the list is recorded in the decision log.")
    path = settings.root / location.setting.removeprefix("sqlite:///")
    return opened_log(replace(location, address=location.address or f"sqlite:///{path}"))

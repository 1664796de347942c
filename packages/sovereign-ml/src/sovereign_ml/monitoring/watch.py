"""One run of the monitor: measure, judge, open alarms, and write the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.bundle.sealed import Bundle, read_bundle
from sovereign_ml.config.settings import Settings
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.evaluation import metrics
from sovereign_ml.monitoring import alarms, outcomes
from sovereign_ml.monitoring.comparison import compare, nobody
from sovereign_ml.monitoring.judgement import judge, worst
from sovereign_ml.monitoring.logged import DecisionTable, read_decisions
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.population import (
    PopulationProfile,
    Reference,
    columns,
    group_shares,
    profile,
    read_reference,
)
from sovereign_ml.monitoring.reference import groups_of
from sovereign_ml.monitoring.reporting.stored_reports import (
    FOLDER,
    LOG,
    REPORT,
    MonitorReport,
    Source,
    newest_report,
    reports,
)
from sovereign_ml.project import Project
from sovereign_ml.storage.artifacts import read_json, write_json, writing

if TYPE_CHECKING:
    import pandas as pd

WEEKS = 13
"""Number of weekly snapshots that are computed anew if the log has too few decisions."""
WINDOW_DAYS = 90
"""Window in which reviews, contests and erasures are counted."""


@dataclass(frozen=True)
class Watch:
    """The monitor of a project's model in the folder ``bundle``."""

    settings: Settings
    project: Project
    bundle: Path

    @property
    def valid(self) -> Path:
        """Return the folder of the valid transactions of step 2."""
        return self.settings.path("valid")

    def past(self, end: datetime | None = None) -> PastDays:
        """Return the transactions that were known at ``end`` (UTC), or all of them.

        Raises Misuse if there was none yet.
        """
        config = self.settings
        past = PastDays(self.project, self.valid, config.features, config.label.kind)
        if end is not None:
            if past.oldest_event >= end:
                raise Misuse(
                    f"There is no transaction before {end:%Y-%m-%d}: the first is of "
                    f"{past.oldest_event:%Y-%m-%d}. Name a later day."
                )
            past.forget_from(end)
        return past

    def run(self, end: datetime, now: datetime) -> MonitorReport:
        """Check the model as of ``end``, the midnight (UTC) after the last day that counts.

        Writes ``data/9_monitoring/<day>/`` and the alarms. A day before that of the newest report
        opens and ends none. Raises Refused for a bundle that was changed, and Misuse for one
        without a reference.
        """
        settings = self.settings
        last_day = (end - timedelta(days=1)).date()
        day = f"{last_day}"
        sealed, reference = self.bundle_and_reference()
        past = self.past(end)
        current = past.snapshots([end])
        today: PopulationProfile | None = None
        # The end of today lies in the future, so the age of the newest event counts from now.
        limits = reference.limits
        age_days = (min(end, now.replace(tzinfo=None)) - past.newest_event) / timedelta(days=1)
        if current.empty:
            comparison = nobody(reference, age_days)
        else:
            # The distance compares quantiles one by one, so both sides need equally many.
            today = profile(sealed.model, current, limits, points=len(reference.log_odds))
            comparison = compare(today, reference, age_days)
        table = self._logged(past, end)
        rows, source = self._decided(past, sealed, reference, table)
        matured = rows[rows["churned"].notna()]
        # An offer may have kept a person, so only the others show whether the score was right.
        untreated = rows[~rows["treated"]]
        detector, alarmed_on = outcomes.watch_rates(
            untreated, settings.features.horizon_days, settings.monitor
        )
        smallest = settings.monitor.min_decisions if source == LOG else settings.evaluate.min_group
        early = outcomes.early_looks(
            past, untreated, reference.early, past.complete_until, smallest=smallest
        )
        realised = self._realised(matured)
        gaps = self._gaps(matured, sealed.policy)
        last = detector.looks[-1].day if detector.looks else ""
        newest = newest_report(settings.root)
        # A run that is repeated must not take its own report for that of an earlier day.
        earlier = (report.states for report in reports(settings.root) if report.day < day)
        states = judge(
            day,
            comparison=comparison,
            early=early,
            detector=detector,
            # An alarm of an earlier look does not count any more.
            alarmed=bool(alarmed_on) and alarmed_on[-1] == last,
            realised=realised[0] if realised else None,
            fairness=gaps,
            reviews=table.reviews if table else {},
            waiting_days=table.waiting_days if table else None,
            limits=settings.monitor,
            gate=settings.register_,
            catch_rate=settings.card.policy.review_min_catch_rate,
            # Each report is a file to read, and no rule looks further back.
            before=list(islice(earlier, settings.monitor.in_a_row)),
        )
        # A report on an earlier day, made again, must not open the alarms of that day once more.
        if newest is None or day >= newest.day:
            alarms.update(settings.root, states, last_day, sealed.manifest.version)
        summary = read_json(self.valid / "summary.json")
        report = MonitorReport(
            day=day,
            made_at=f"{now:%Y-%m-%dT%H:%M:%SZ}",
            status=worst(states),
            model_version=sealed.manifest.version,
            reference_day=f"{reference.day}",
            source=source,
            states=tuple(states),
            comparison=comparison,
            weeks=tuple(outcomes.by_week(rows)),
            early=tuple(early),
            looks=tuple(detector.looks),
            realised=tuple(realised),
            fairness=tuple(tuple(batch) for batch in gaps),
            groups_then=reference.groups,
            groups_now=group_shares(
                self._groups(current["customer_id"], end), settings.evaluate.min_group
            ),
            people=_people(table),
            rejected_share=1 - summary["rows_out"] / max(1, summary["rows_in"]),
            rejected=summary.get("rejected", {}),
            tolerance=settings.monitor.tolerance,
            next_outcomes=_next_outcomes(rows, settings.features.horizon_days),
            not_known=tuple(self._not_known(rows, table, source)),
            alarms=tuple(alarms.unanswered(settings.root)),
        )
        self._write(report, reference, today, sealed.card)
        return report

    def challenge(self, candidate: Bundle, end: datetime) -> outcomes.Challenge:
        """Score the decided people with ``candidate``, and compare it with the model in use.

        It changes no decision and writes nothing. Past days are computed anew where the log does
        not hold every feature of the candidate. Raises Refused while too few outcomes are known,
        and for a candidate with features that this project does not compute.
        """
        import pandas as pd

        sealed, reference = self.bundle_and_reference()
        past = self.past(end)
        table = self._logged(past, end, with_features=True)
        rows, source = self._comparable(self._decided(past, sealed, reference, table))
        needed = candidate.model.features
        if source == LOG:
            # The decision log has the features as they were served.
            served = [features or {} for features in rows["features"]]
            if all(set(needed) <= features.keys() for features in served):
                inputs = pd.DataFrame(served, columns=list(needed))
            else:
                anew = self._anew(past, sealed, reference, table)
                rows, source = self._comparable(anew)
        if source != LOG:
            inputs = rows
        if lacking := sorted(set(needed) - {*inputs.columns}):
            raise Refused(
                f"Version {candidate.manifest.version} needs {', '.join(lacking)}, which this "
                "project does not compute: compare it in a checkout of its own commit."
            )
        score = candidate.model.probability(columns(candidate.model, inputs))
        churned, in_use = (rows[name].to_numpy(dtype=float) for name in ("churned", "score"))
        version = candidate.manifest.version
        return outcomes.challenge(version, churned, score, in_use, source=source)

    def _comparable(self, decided: tuple[pd.DataFrame, Source]) -> tuple[pd.DataFrame, Source]:
        """Return the rows without an offer whose outcome is known. Raises Refused for too few."""
        rows, source = decided
        rows = rows[rows["churned"].notna() & ~rows["treated"]].reset_index(drop=True)
        smallest = self.settings.monitor.min_decisions
        if len(rows) < smallest or rows["churned"].nunique() < 2:
            raise Refused(
                f"{len(rows):,} decisions without an offer have a known outcome, and a comparison "
                f"needs {smallest:,} ([monitor] min_decisions) with both outcomes: wait for the "
                "horizon to end."
            )
        return rows, source

    def bundle_and_reference(self) -> tuple[Bundle, Reference]:
        """Return the sealed bundle and its reference."""
        try:
            sealed = read_bundle(self.bundle)
            return sealed, read_reference(self.bundle, sealed.manifest)
        except ValueError as error:
            raise Refused(f"The model in use cannot be watched. {error}") from None

    def _logged(
        self, past: PastDays, end: datetime, *, with_features: bool = False
    ) -> DecisionTable | None:
        """Return the logged decisions about people whom the data have, None before there is a log."""
        table = read_decisions(
            self.settings.log_location, end, WINDOW_DAYS, with_features=with_features
        )
        return table and table.among(past.customers())

    def _decided(
        self,
        past: PastDays,
        sealed: Bundle,
        reference: Reference,
        table: DecisionTable | None,
    ) -> tuple[pd.DataFrame, Source]:
        """Return one decision per person and horizon, with ``churned`` (or NaN) and ``treated``."""
        horizon = self.settings.features.horizon_days
        if table is not None:
            # Decisions of an earlier version say nothing about this one.
            in_use = f"{sealed.manifest.name} {sealed.manifest.version}"
            rows = table.rows[table.rows["model_version"] == in_use]
            rows = outcomes.first_of_each(rows, horizon)
            if len(rows) >= self.settings.monitor.min_decisions:
                treated = ~rows["outcome"].isin(_left_alone(sealed.policy))
                treated |= outcomes.contacted(rows, table.contacts, horizon)
                return rows.assign(treated=treated, churned=past.churned(rows, horizon)), LOG
        return self._anew(past, sealed, reference, table)

    def _anew(
        self, past: PastDays, sealed: Bundle, reference: Reference, table: DecisionTable | None
    ) -> tuple[pd.DataFrame, Source]:
        """Return everybody of the last weeks, scored anew, as if decided on those days."""
        horizon = self.settings.features.horizon_days
        # Before the day of the reference another model was in use.
        first = datetime.combine(reference.day, datetime.min.time())
        days = [past.complete_until - timedelta(days=7 * week) for week in range(WEEKS)]
        rows = scored(sealed, past.snapshots([day for day in reversed(days) if day >= first]))
        treated = outcomes.contacted(rows, table.contacts, horizon) if table else False
        rows = rows.assign(treated=treated, churned=past.churned(rows, horizon))
        return rows, "past days computed anew"

    def _realised(self, matured: pd.DataFrame) -> list[outcomes.RealisedFigures]:
        """Return figures of the untreated, which the gate judges, and of the treated."""
        groups = []
        for who, treated in (("untreated", False), ("treated", True)):
            part = matured[matured["treated"] == treated]
            if len(part) >= self.settings.monitor.min_decisions:
                churned, score = (part[name].to_numpy(dtype=float) for name in ("churned", "score"))
                figures = outcomes.realised(who, churned, score)
                groups += [figures] if figures else []
        # The gate judges the first entry, so the treated alone must not take its place.
        return groups if groups and groups[0].who == "untreated" else []

    def _gaps(self, matured: pd.DataFrame, policy: DecisionPolicy) -> list[list[dict[str, Any]]]:
        """Return gaps between groups for each horizon of matured decisions, newest first."""
        if matured.empty:
            return []
        newest = matured["event_timestamp"].max()
        horizon = self.settings.features.horizon_days
        age = (newest - matured["event_timestamp"]) // timedelta(days=horizon)
        threshold = policy.action_threshold
        batches = []
        for _, part in matured.groupby(age):
            rows = outcomes.first_of_each(part, horizon)
            y = rows["churned"].to_numpy(dtype=np.int64)
            if len(set(y)) < 2:
                continue
            groups = self._groups(rows["customer_id"], newest)
            score, smallest = rows["score"].to_numpy(dtype=float), self.settings.evaluate.min_group
            batches.append(metrics.fairness(y, score, groups, threshold, smallest))
        return batches

    def _groups(self, customers: pd.Series[str], end: datetime) -> Mapping[str, pd.Series[Any]]:
        return groups_of(
            self.project, self.valid, customers, end.year, self.settings.evaluate.groups
        )

    def _not_known(self, rows: pd.DataFrame, table: DecisionTable | None, source: str) -> list[str]:
        """Return the limits of this run's measurements, one sentence each."""
        still = int(rows["churned"].isna().sum())
        lines = [f"The outcome of {still:,} of {len(rows):,} decisions is open: the horizon runs."]
        if source != LOG:
            lines.append(
                "The decision log has too few decisions: outcomes are those of past days, scored "
                "anew."
            )
        elif not rows["control"].any():
            lines.append(
                "Without a control group a working offer and a wrong model look the same: "
                "see `churn campaign`."
            )
        if table and table.blanked:
            lines.append(f"{table.blanked:,} decisions are erased or expired and do not count.")
        if table and table.unusable:
            lines.append(
                f"{table.unusable:,} decisions have a score that is no probability and do not count."
            )
        if table and table.strangers:
            lines.append(
                f"{table.strangers:,} decisions are about people without a purchase in the data, "
                "and do not count."
            )
        if table and table.pending:
            lines.append(f"{table.pending:,} decisions wait for a person and have no outcome yet.")
        smallest = self.settings.evaluate.min_group
        return [*lines, f"Groups of fewer than {smallest} people are not shown."]

    def _write(
        self,
        report: MonitorReport,
        reference: Reference,
        today: PopulationProfile | None,
        card: Mapping[str, Any],
    ) -> None:
        from sovereign_ml.monitoring.channels import metrics_text
        from sovereign_ml.monitoring.page import page

        with writing(self.settings.root / FOLDER / report.day) as folder:
            write_json(folder / REPORT, report.model_dump(mode="json"))
            promised = card["facts"]["evaluation"]["metrics"]
            (folder / "monitor.html").write_text(
                page(report, reference, today, promised), encoding="utf-8"
            )
            (folder / "metrics.prom").write_text(metrics_text(report), encoding="utf-8")


def scored(sealed: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` (customer_id, event_timestamp, features) with the bundle's ``score``."""
    score = sealed.model.probability(columns(sealed.model, rows))
    return rows.assign(score=score, control=False)


def _next_outcomes(rows: pd.DataFrame, horizon_days: int) -> str | None:
    """Return the first day on which an outcome of ``rows`` is known that is open now."""
    waiting = rows.loc[rows["churned"].isna(), "event_timestamp"]
    if waiting.empty:
        return None
    # A label covers whole days, so it is known on the day that begins at or after its end.
    return f"{(waiting.min() + timedelta(days=horizon_days)).ceil('D'):%Y-%m-%d}"


def _people(table: DecisionTable | None) -> dict[str, Any]:
    if table is None:
        return {}
    return {
        **table.reviews,
        "contests": table.contests,
        "waiting_days": table.waiting_days,
        "erasures": table.erasures,
        "objections": table.objections,
        "window_days": WINDOW_DAYS,
    }


def _left_alone(policy: DecisionPolicy) -> set[str | None]:
    """Return the outcomes of people for whom nothing was done."""
    below_action = policy.suggestions[: policy.names.index(policy.action_band)]
    return {*below_action, policy.leaves_all_as_it_is}

"""The figures of the monitor as a page, each beside what is promised."""

from __future__ import annotations

from typing import Any

HEAD = """\
# Does the monitor see what it should, and nothing else?

One run on {cores} cores, Python {python}: `python benchmarks/monitoring.py PROJECT`. The machine was
shared: its load was {load_before:.1f} before and {load_after:.1f} after, so CPU time counts. The run took
{run_cpu:.0f} s of it. All numbers are in `monitoring.json`. Models use every feature of `contract.py`, and limits are those
of a fresh project.

| | measured | promised | |
|---|---|---|---|
{promises}

## Past weeks without a known fault

`churn monitor backtest --weeks 32`. A rule about data alarms when it is broken twice in a row,
early outcomes by themselves. {source}

| data | weekly runs | a rule broken | twice in a row | early outcomes | alarms |
|---|---|---|---|---|---|
{weeks}

## Planted faults

The rule that found each fault, on the newest day of the data.

| fault | {names} |
|---|{dashes}
{faults}
{november}
## Histories of {months} months

{histories:,} histories with {people:,} matured decisions a month. Each month has a shock of its
own with a standard deviation of {shock:g} points. {false_alarms:.1%} of those without a bias have
a false alarm.

| bias from month 12 on | same month | within one month | within two | median | missed |
|---|---|---|---|---|---|
{biases}

With these shocks no test of monthly rates can do what is asked. One that finds eight points within a
month in 99 of 100 histories, whenever they begin, has a false alarm in {least_false:.0%} at least. One with
5 % of false alarms finds {most_found:.1%} at most.

## Campaigns

{campaigns} campaigns of {listed:,} people, {control:.0%} of them controls, drawn into a real
decision log and measured by the code of `churn campaign result`. An effect of {effect:g} points
lies in the interval of {covered}, in that without the adjustment by score of {covered_plain}. The
mean estimate is {mean:.2f} points. {shown} of them show an effect. Of the same campaigns with no
effect, {none} show one: 5 are expected of a 95 % interval. The adjustment makes the interval
{narrower:.1%} narrower.

## Loads

- `churn monitor` on {decisions:,} decisions ({log_mb} MB of log): {seconds} s, {cpu} s of CPU time,
  {memory} MB.
- Profile of {customers:,} customers: {customers_cpu} s of CPU time.
- kill -9 at {points} points, half of them in the middle of a write: {killed} runs were killed. Each
  time the next run made the same {alarms} alarms. None was lost or doubled, no file was half
  written.
- Mean shifts of the features add up to that of the score within {sums:.0e} log-odds. The distance
  is that of scipy within {scipy:.0e}.
"""
NOVEMBER = """
## November 2011 of Online Retail

The model was made from what was known before 9 November 2011, and then watched by `churn
monitor --as-of DAY`. Days are those after 9 November. A look that is off by more than a fifth and
beyond chance alarms from day 14 on. The rule looks at three weeks of decisions on each day, so it
may alarm by those of October, too. The reference is the cut-off of {reference_day}.

| day | as of | decided up to | observed / expected | z | this look | the rule | largest shift | score shift |
|---|---|---|---|---|---|---|---|---|
{rows}
"""
SOURCES = {
    "Online Retail": (
        "Online Retail: Chen, D. (2015), UCI Machine Learning Repository 352, "
        "doi 10.24432/C5BW33, CC BY 4.0."
    ),
    "CDNOW": (
        "CDNOW: purchases of people who first bought in one quarter, published by Fader and Hardie. "
        "No limit was chosen on them. The copy at hand moves its years by 24."
    ),
}
Promise = tuple[bool, str, str]


def promises(result: dict[str, Any]) -> dict[str, Promise]:
    """Return for each promise whether it is kept, the measurement, and the promise in words."""
    tests, simulated = result["backtests"], result["histories"]
    shops = [each for name, each in tests.items() if name.startswith("Built-in")]
    tried = [tests[name] for name in ("Built-in shop, seed 7", "Online Retail") if name in tests]
    hits = [bool(rules) for each in tried for rules in each["faults"].values()]
    alarms, runs = sum(each["alarms"] for each in shops), sum(each["runs"] for each in shops)
    bias, load, campaign = simulated["biases"][0], result["decisions"], result["campaigns"]
    lines: dict[str, Promise] = {
        "alarms in healthy weeks": (alarms <= 2, f"{alarms} of {runs}", "at most 2 of 96"),
        "planted faults found": (
            sum(hits) >= len(hits) - 1,
            f"{sum(hits)} of {len(hits)}",
            "all but one",
        ),
        "false alarms in 24 months": (
            simulated["false_alarms"] <= 0.05,
            f"{simulated['false_alarms']:.1%}",
            "at most 5 %",
        ),
        "a bias of eight points": (
            bias["one_month"] >= 0.99,
            f"{bias['one_month']:.1%} within a month, {bias['missed']:.1%} missed",
            "99 % within a month; see below",
        ),
        "known effect in its interval": (
            campaign["covered"] >= 93,
            f"{campaign['covered']} of {campaign['campaigns']}",
            "at least 93 of 100",
        ),
        "no effect called one": (
            campaign["none_called_effect"] <= 7,
            f"{campaign['none_called_effect']} of {campaign['campaigns']}",
            "at most 7 of 100",
        ),
        "100,000 decisions, memory": (
            load["memory_mb"] <= 400,
            f"{load['memory_mb']} MB",
            "at most 400 MB",
        ),
        "100,000 decisions, CPU time": (
            load["cpu_seconds"] <= 15,
            f"{load['cpu_seconds']} s",
            "at most 15 s",
        ),
        "a million customers, CPU time": (
            result["customers"]["cpu_seconds"] <= 10,
            f"{result['customers']['cpu_seconds']} s",
            "at most 10 s",
        ),
    }
    if "november" in result:
        looks = {look["day"]: look for look in result["november"]["looks"]}
        first = [day for day, look in looks.items() if look["is_off"]]
        lines["November 2011 seen"] = (
            14 in first and looks[3]["ratio"] is None,
            f"off on days {', '.join(map(str, first))}" if first else "not seen",
            "by day 14, without a look on day 3",
        )
    return lines


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    tests, simulated = result["backtests"], result["histories"]
    campaign, load, killed = result["campaigns"], result["decisions"], result["kills"]
    faults = list(next(iter(tests.values()))["faults"])
    return HEAD.format(
        cores=result["cores"],
        python=result["python"],
        promises="\n".join(
            f"| {name} | {value} | {words} | {'kept' if kept else '**broken**'} |"
            for name, (kept, value, words) in promises(result).items()
        ),
        source=" ".join(text for name, text in SOURCES.items() if name in tests),
        weeks="\n".join(
            "| {name} | {runs} | {broken} | {twice} | {early} | {alarms} |".format(
                name=name, **each
            )
            for name, each in tests.items()
        ),
        names=" | ".join(tests),
        dashes="---|" * len(tests),
        faults="\n".join(
            f"| {fault} | "
            + " | ".join(_rules(each["faults"], fault) for each in tests.values())
            + " |"
            for fault in faults
        ),
        november=_november(result),
        **{name: simulated[name] for name in ("histories", "months", "people")},
        shock=100 * simulated["shock"],
        least_false=simulated["limits"]["least_false_alarms"],
        most_found=simulated["limits"]["most_in_one_month"],
        load_before=result["load"][0],
        load_after=result["load"][1],
        run_cpu=result["cpu_seconds"],
        false_alarms=simulated["false_alarms"],
        biases="\n".join(map(_bias, simulated["biases"])),
        campaigns=campaign["campaigns"],
        listed=campaign["people"],
        control=campaign["control_share"],
        effect=100 * campaign["effect"],
        covered=campaign["covered"],
        covered_plain=campaign["covered_plain"],
        mean=100 * campaign["mean_estimate"],
        shown=campaign["shown"],
        none=campaign["none_called_effect"],
        narrower=1 - campaign["width_against_plain"],
        decisions=load["decisions"],
        log_mb=load["log_mb"],
        seconds=load["seconds"],
        cpu=load["cpu_seconds"],
        memory=load["memory_mb"],
        customers=result["customers"]["customers"],
        customers_cpu=result["customers"]["cpu_seconds"],
        points=killed["points"],
        killed=killed["killed"],
        alarms=killed["alarms"],
        sums=result["exact"]["sum_of_features"],
        scipy=result["exact"]["against_scipy"],
    )


def _rules(faults: dict[str, list[str]], fault: str) -> str:
    if fault not in faults:
        return "no such columns"
    return ", ".join(faults[fault]) or "missed"


def _bias(row: dict[str, Any]) -> str:
    return (
        f"| {100 * row['bias']:+.0f} points | {row['same_month']:.1%} | {row['one_month']:.1%} | "
        f"{row['two_months']:.1%} | {row['median_months']:g} months | {row['missed']:.1%} |"
    )


def _november(result: dict[str, Any]) -> str:
    if "november" not in result:
        return ""
    rows = []
    for look in result["november"]["looks"]:
        measured = look["ratio"] is not None
        seen = f"{look['ratio']:.2f} | {look['z']:+.1f}" if measured else "no look | "
        rows.append(
            f"| {look['day']} | {look['as_of']} | {look['decided'] or ''} | {seen} | "
            f"{'off' if look['is_off'] else 'no alarm'} | {look['early']} | "
            f"{look['feature_shift']:.3f} | {look['score_shift']:.3f} |"
        )
    return NOVEMBER.format(reference_day=result["november"]["reference_day"], rows="\n".join(rows))

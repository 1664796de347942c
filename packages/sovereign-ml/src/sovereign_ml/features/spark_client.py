"""Program for the environment of Spark: compute the snapshots and labels of step 3.

It reads a job as JSON from standard input and writes an answer to the file of its argument. Under
Spark's operator the job is in the file of a second argument, and the settings are those of the
driver. The
queries of the job are in DuckDB's dialect, so that a project has its SQL once. They are translated
here, and what has no certain counterpart in Spark is refused. Every setting of Spark is in files of
a private folder: nothing is downloaded, no page is served, and no log has rows in it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

LOGGING = """\
appender.none.type = Null
appender.none.name = none
rootLogger.level = off
rootLogger.appenderRef.none.ref = none
"""
"""log4j2: an error's message may hold a value of a row, and workers keep their logs."""
FIXED = {
    "spark.app.name": "churn features",
    # Pages show queries, and event logs keep them.
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.eventLog.enabled": "false",
    "spark.log.level": "OFF",
    # Shuffles are pseudonyms on the disks of workers: unreadable once the run has ended.
    "spark.authenticate": "true",
    "spark.network.crypto.enabled": "true",
    "spark.io.encryption.enabled": "true",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    # A value that does not fit its type ends the run, and never becomes a null.
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}


class Untranslatable(Exception):
    """A part of a query that Spark might compute otherwise than DuckDB."""


def translated(query: str, cut: str = "") -> str:
    """Return a query of DuckDB in Spark's SQL, with ``cut`` (ISO, UTC) as its variable ``cut``.

    Values and the order of nulls are those of DuckDB. Raises Untranslatable where they may not be.
    """
    tree = sqlglot.parse_one(query, read="duckdb")
    # The files are sorted by who reads them. Here every row would move once more.
    tree.set("order", None)
    holder = exp.Paren(this=tree)
    # Parts come before the whole, so that no rewritten node is looked at again.
    for node in reversed(list(tree.walk(bfs=True))):
        new = _rewritten(node, cut)
        if new is not node:
            node.replace(new)
    text: str = holder.this.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.IGNORE)
    return text


def _rewritten(node: exp.Expression, cut: str) -> exp.Expression:
    """Return the counterpart of one node, the node itself where sqlglot's own will do."""
    if isinstance(node, exp.Anonymous) and node.name.lower() == "getvariable":
        return exp.cast(exp.Literal.string(cut), "timestampltz")
    for kind, rewrite in REWRITES.items():
        if isinstance(node, kind):
            return rewrite(node)
    return node


def _instant(node: exp.DataType) -> exp.Expression:
    # Times in the tables are instants, and the session is in UTC.
    is_time = node.this.name.startswith("TIMESTAMP")
    return exp.DataType.build("timestampltz") if is_time else node


def _first(node: exp.First) -> exp.Expression:
    """Return the value of the smallest key, where the first one has an order."""
    if not isinstance(node.this, exp.Order):
        return node
    parts = [part for ordered in node.this.expressions for part in _sort_key(ordered)]
    ordering = exp.Anonymous(this="struct", expressions=parts)
    return exp.Anonymous(this="min_by", expressions=[node.this.this, ordering])


def _aggregate(node: exp.AggFunc) -> exp.Expression:
    """Return an average as a quotient. Raises Untranslatable for an order or several values."""
    if isinstance(node.this, exp.Order):
        raise Untranslatable(f"{node.key}() with an ORDER BY")
    if node.args.get("count") and not isinstance(node.parent, exp.Bracket):
        raise Untranslatable(f"{node.key}() of several values without an index")
    if isinstance(node, exp.Avg) and isinstance(node.parent, exp.Window):
        raise Untranslatable("avg() over a window: divide sum() by count()")
    if isinstance(node, exp.Avg) and not isinstance(node.parent, exp.Filter):
        return _average(node.this)
    return node


def _filtered(node: exp.Filter) -> exp.Expression:
    return _average(node.this.this, node.expression) if isinstance(node.this, exp.Avg) else node


def _average(value: exp.Expression, where: exp.Expression | None = None) -> exp.Expression:
    """Return a sum by a count, because Spark rounds the average of decimals."""
    parts: list[exp.Expression] = [exp.Sum(this=value), exp.Count(this=value.copy())]
    if where:
        parts = [exp.Filter(this=part, expression=where.copy()) for part in parts]
    return exp.Paren(this=_quotient(*parts))


def _quotient(over: exp.Expression, under: exp.Expression) -> exp.Expression:
    return exp.Div(this=exp.cast(over, "double"), expression=exp.cast(under, "double"), typed=True)


def _seconds(node: exp.TimeToUnix) -> exp.Expression:
    """Return the seconds from 1970 to a moment, or between two moments that are subtracted."""
    moment = node.this
    if not isinstance(moment, exp.Sub) or isinstance(moment.expression, exp.Interval):
        return exp.Paren(this=_quotient(_micros(moment), exp.Literal.number(1_000_000)))
    whole = exp.Paren(
        this=exp.Sub(this=_micros(moment.this), expression=_micros(moment.expression))
    )
    # A difference of DuckDB has days and microseconds. Seconds of both are rounded before their sum.
    day = exp.Literal.number(86_400_000_000)
    days = exp.IntDiv(this=whole, expression=day)
    rest = exp.Paren(this=exp.Mod(this=whole.copy(), expression=day.copy()))
    seconds = exp.Mul(this=exp.cast(days, "double"), expression=exp.Literal.number(86400))
    parts = exp.Add(this=seconds, expression=_quotient(rest, exp.Literal.number(1_000_000)))
    return exp.Paren(this=parts)


def _micros(moment: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this="unix_micros", expressions=[moment])


def _nth(node: exp.Bracket) -> exp.Expression:
    """Return the n-th largest or smallest value, null where there are fewer."""
    if not isinstance(node.this, exp.Max | exp.Min):
        return node
    extreme, (index,) = node.this, node.expressions
    parts = [extreme.this, extreme.this.copy(), extreme.args["count"]]
    values = exp.Anonymous(this=f"{extreme.key}_by", expressions=parts)
    # sqlglot counts from 0, as Spark's get() does. Brackets would raise beyond the last value.
    return exp.Anonymous(this="get", expressions=[values, index])


def _sort_key(ordered: exp.Ordered) -> tuple[exp.Expression, exp.Expression]:
    """Return two parts of a struct that sorts as one key of an ORDER BY."""
    missing = exp.Is(this=ordered.this.copy(), expression=exp.Null())
    # A descending text has no such key: Spark then refuses the minus.
    value = exp.Neg(this=ordered.this) if ordered.args.get("desc") else ordered.this
    return exp.Not(this=missing) if ordered.args.get("nulls_first") else missing, value


REWRITES: dict[type[exp.Expression], Callable[[Any], exp.Expression]] = {
    exp.DataType: _instant,
    # DuckDB divides as floating point. Spark divides decimals as decimals.
    exp.Div: lambda node: _quotient(node.this, node.expression),
    exp.TimeToUnix: _seconds,
    exp.Bracket: _nth,
    exp.First: _first,
    exp.AggFunc: _aggregate,
    exp.Filter: _filtered,
}
"""What DuckDB and Spark compute otherwise under the same name. The first that fits is taken."""


def session(job: Mapping[str, Any], home: Path | None) -> Any:
    """Return a session of Spark, without ``home`` that of the driver that runs this program."""
    if home:
        configure(job, home)

    from pyspark.sql import SparkSession

    return SparkSession.builder.getOrCreate()


def configure(job: Mapping[str, Any], home: Path) -> None:
    """Write the settings of Spark to files that only their owner reads.

    As arguments they would be in the list of processes, with the secret.
    """
    folder = home / "conf"
    folder.mkdir(mode=0o700)
    (folder / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
    own = {
        "spark.master": job["master"],
        "spark.local.dir": str(home / "shuffle"),
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.driver.bindAddress": job["host"],
        "spark.driver.host": job["host"],
    }
    lines = [f"{name} {value}\n" for name, value in {**job["properties"], **FIXED, **own}.items()]
    if job["secret"]:
        lines.append(f"spark.authenticate.secret {job['secret']}\n")
    (folder / "spark-defaults.conf").write_text("".join(lines), encoding="utf-8")
    os.environ |= {"SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": job["host"]}  # noqa: TID251


def compute(spark: Any, job: Mapping[str, Any]) -> dict[str, int]:
    """Write the folders ``snapshots`` and ``labels`` of Parquet, and return the rows of each."""
    output = Path(job["output"])
    for name, path in job["files"].items():
        # No path is a pattern, whatever its characters.
        spark.read.option("__globPaths__", "false").parquet(path).createOrReplaceTempView(name)
    for name, query in job["tables"].items():
        spark.sql(translated(query)).createOrReplaceTempView(name)
    rows = 0
    # One cut-off after the other: a row counts for several, and all copies at once fill disks.
    for cut in job["cuts"]:
        for name, query in job["views"].items():
            spark.sql(translated(query, cut)).createOrReplaceTempView(name)
        rows += _written(spark.sql(translated(job["snapshots"], cut)), output / "snapshots")
    spark.read.parquet(str(output / "snapshots")).createOrReplaceTempView("snapshots")
    labels = _written(spark.sql(translated(job["labels"])), output / "labels")
    return {"snapshots": rows, "labels": labels}


def _written(frame: Any, folder: Path) -> int:
    """Append the rows to a folder of Parquet, and return how many they were on their way there."""
    from pyspark.sql import Observation
    from pyspark.sql.functions import count, lit

    counted = Observation()
    frame.observe(counted, count(lit(1)).alias("rows")).write.mode("append").parquet(str(folder))
    return int(counted.get["rows"])


def explained(error: Exception) -> str:
    """Return one line for an error, without values of rows."""
    condition = getattr(error, "getCondition", lambda: None)() or type(error).__name__
    text = " ".join(str(error).split())
    if isinstance(error, Untranslatable):
        return f"The SQL of a feature has {text}, which Spark may compute otherwise than DuckDB."
    if isinstance(error, sqlglot.ParseError):
        return f"The SQL of a feature cannot be translated to Spark: {text[:200]}"
    if condition == "JAVA_GATEWAY_EXITED":
        return (
            "Spark did not start: it needs Java 17 or newer; `java -version` says which is found."
        )
    if type(error).__name__ in {"AnalysisException", "ParseException"}:
        # These are about queries and have no row in them.
        return f"Spark refuses the SQL of a feature: {text[:300]}"
    return f"Spark broke off: {condition}. Its message may name people and is not shown."


def main() -> None:
    """Carry out the job. An error becomes one line."""
    answer, *files = map(Path, sys.argv[1:])
    text = files[0].read_text(encoding="utf-8") if files else sys.stdin.read()
    job, spark = json.loads(text), None
    # The task that reads the answer may be another user of the same group.
    os.umask(0o007 if files else 0o077)
    try:
        home = None if files else Path(os.environ["HOME"])  # noqa: TID251  a program of its own
        spark = session(job, home)
        content: dict[str, Any] = {"answer": compute(spark, job)}
    except Exception as error:
        content = {"error": explained(error)}
    finally:
        if spark is not None:
            spark.stop()
    part = answer.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(answer)


if __name__ == "__main__":
    main()

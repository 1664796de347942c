"""The way from a file to its proposal, which is tried on the whole file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sovereign_ml.config.data_tables import DataSettings, ReaderSettings, event_table_name
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks import exchange_rates
from sovereign_ml.pipeline.input_mapping.mapped_rows import SOURCE
from sovereign_ml.pipeline.source import InputFiles
from sovereign_ml.pipeline.suggest.column_values import ColumnValues, profile
from sovereign_ml.pipeline.suggest.contract_columns import contract_decisions, contract_note
from sovereign_ml.pipeline.suggest.customer_columns import people_decisions
from sovereign_ml.pipeline.suggest.event_table import EventGuess, buyers_of, try_events
from sovereign_ml.pipeline.suggest.file_columns import COLUMNS
from sovereign_ml.pipeline.suggest.file_layout import FileLayout, layout_of
from sovereign_ml.pipeline.suggest.mapping import MappingGuess, decimal_of
from sovereign_ml.pipeline.suggest.money_columns import NO_AMOUNT
from sovereign_ml.pipeline.suggest.presets import CDNOW
from sovereign_ml.pipeline.suggest.proposal import Candidate, Proposal, ProposedSetting, chosen
from sovereign_ml.pipeline.suggest.trial_run import TrialRun, trial_run
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.expressions import Expressions, as_word

if TYPE_CHECKING:
    import duckdb

__all__ = ["parse_answers", "suggest", "suggest_events"]

BASES = ("contract", "legitimate_interests", "legal_obligation", "public_task")


@dataclass
class _Look:
    """A loaded file in ``source_transactions``, with its layout and the content of its columns."""

    connection: duckdb.DuckDBPyConnection
    decisions: list[ProposedSetting]
    notes: list[str]
    reader: ReaderSettings
    columns: Mapping[str, ColumnValues]
    above: Sequence[str]
    left_out: Sequence[str]


def _look(files: InputFiles, file: str, answers: Mapping[str, Any]) -> _Look:
    connection = db.connect()
    # DuckDB would use the zone of this machine, and the proposal would differ between machines.
    connection.execute("SET TimeZone = 'UTC'")
    notes: list[str] = []
    with files.local_copies(file) as paths:
        layout = _named(layout_of(paths[0]), notes)
        decisions = [chosen(decision, answers) for decision in layout.decisions]
        reader = _reader(decisions, files.config.reader)
        loaded = db.load_files(connection, SOURCE, paths, reader)
    columns = profile(connection, SOURCE)
    # The decimal mark shows in the values, which are known only after loading.
    if decimal := decimal_of(columns):
        decisions.append(chosen(decimal, answers))
        reader = _reader(decisions, files.config.reader)
    return _Look(connection, decisions, notes, reader, columns, layout.above, loaded.notes)


def suggest(
    files: InputFiles, file: str, customers: str, answers: Mapping[str, Any], *, in_clear: bool
) -> Proposal:
    """Return the proposal for ``file`` and ``customers`` (may be empty), tried on their rows.

    Raises Misuse for a file that cannot be read, and for an answer to a question that was not
    asked.
    """
    look = _look(files, file, answers)
    connection, decisions, reader, notes = look.connection, look.decisions, look.reader, look.notes
    guess = MappingGuess(connection, SOURCE, look.columns, reader.decimal, look.above)
    decisions += [chosen(decision, answers) for decision in guess.decisions()]
    if guess.preset:
        notes.append(f"Recognised by its header: {guess.preset.name}.")
        decisions += [
            ProposedSetting("data.checks", k, v, (f"known of {guess.preset.name}",))
            for k, v in guess.preset.checks.items()
        ]
    if any(d.key == "amount_eur" and d.is_open and d.why == (NO_AMOUNT,) for d in decisions):
        notes.append(
            "Are these events beside the purchases, such as tickets, logins or e-mails? Then: "
            f"churn data suggest {file} --event NAME"
        )
    notes += guess.notes
    with files.local_copies(files.config.rates_file) as paths:
        exchange_rates.load(connection, files.config, paths)
    decisions += _rates(connection, decisions, reader, answers)
    named = next(d.trial_value for d in decisions if d.key == "customer_id")
    computed = _computed(connection, reader, {"customer_id": named}) if named else None
    # Without a column of customers, nobody is met among the buyers.
    buyer, buyers = ("NULL", SOURCE)
    if computed:
        buyer, buyers = computed[0].value("customer_id"), computed[1]
    if customers:
        with files.local_copies(customers) as paths:
            db.load_files(connection, "source_customers", paths, reader)
        people = profile(connection, "source_customers")
        proposed = people_decisions(connection, buyer, buyers, people)
        decisions += [chosen(decision, answers) for decision in proposed]
        decisions += contract_decisions(connection, people, reader.null_words, answers)
    elif computed and not guess.preset:
        notes += contract_note(connection, buyer, buyers, look.columns, reader.null_words)
    decisions = [
        ProposedSetting("data", "transactions", file),
        ProposedSetting("data", "customers", customers),
        *_lawful_basis(decisions, files.config, answers),
        *decisions,
    ]
    # A misspelt answer would otherwise change nothing, without a word.
    _check_answers(decisions, answers)
    # Without the columns of the former file, which may not exist in this one.
    config = _trial_config(files.config, decisions, {"reader": reader.model_dump(), "columns": {}})
    if config is None:
        return Proposal(file, decisions, notes, TrialRun())
    with files.local_copies(config.rates_file) as paths:
        exchange_rates.load(connection, config, paths)
    trial = trial_run(connection, config, look.left_out, in_clear=in_clear)
    return Proposal(file, decisions, notes, trial)


def suggest_events(
    files: InputFiles, file: str, name: str, answers: Mapping[str, Any], *, in_clear: bool
) -> Proposal:
    """Return the proposal for ``file`` as the event table ``name``.

    It is tried on the buyers of config.toml. Raises Misuse like :func:`suggest`, and for a name
    that no event table may have.
    """
    try:
        table = f"data.events.{event_table_name(name)}"
    except ValueError as error:
        raise Misuse(f"--event {name!r}: {error}.") from None
    look, config = _look(files, file, answers), files.config
    shop, missing = buyers_of(files)
    if shop:
        ids = shop.sql("SELECT customer_id FROM names").to_arrow_table()
        look.connection.register("shop_buyers", ids)
        look.connection.execute("CREATE TABLE buyers AS FROM shop_buyers")
    else:
        look.notes.append(f"Who is among the buyers is not known, because {missing}.")
    guess = EventGuess(look.connection, SOURCE, look.columns, look.reader.decimal, look.above)
    mapped = guess.decide(buyers=shop is not None, timezone=config.timezone)
    decisions = [
        ProposedSetting(table, "file", file),
        *(replace(chosen(decision, answers), table=table) for decision in mapped),
        *_other_reader(look, config.reader, f"{table}.reader"),
    ]
    _check_answers(decisions, answers)
    notes = [
        *look.notes,
        *guess.notes,
        f'A feature of contract.py with source="{name}" has to use the table, else step 3 stops: '
        "docs/extending.md, Add an event table.",
    ]
    reader = {k: v for k, v in look.reader.model_dump().items() if k != "null_words"}
    project = _trial_config(config, decisions, {"events": {name: {"reader": reader}}})
    if project is None:
        return Proposal(file, decisions, notes, TrialRun(), name)
    trial = try_events(look.connection, shop, project, name, look.left_out, in_clear=in_clear)
    return Proposal(file, decisions, notes, trial, name)


def _other_reader(look: _Look, project: ReaderSettings, table: str) -> list[ProposedSetting]:
    """Return the decisions about the reader that differ from ``[data.reader]``."""
    by_key = {decision.key: decision for decision in look.decisions}
    plain = ReaderSettings(null_words=project.null_words)
    why = ("[data.reader] has another value, for other files",)
    differing = []
    for key, before in project.model_dump().items():
        decision = by_key.get(key, ProposedSetting(table, key, getattr(plain, key), why))
        if decision.is_open or decision.value != before:
            differing.append(replace(decision, table=table))
    return differing


def parse_answers(settings: Sequence[str]) -> dict[str, Any]:
    """Return the answers of ``--set KEY=VALUE``. Raises Misuse for another form."""
    answers: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise Misuse(f"--set {text!r}: write KEY=VALUE, such as --set timezone=Europe/Berlin.")
        answers[key.strip()] = value.strip()
        # Values of these tables are typed. Expressions and names stay text.
        if key.strip().startswith(("rates.", "reader.", "checks.")):
            try:
                answers[key.strip()] = tomllib.loads(f"v = {value}")["v"]
            except tomllib.TOMLDecodeError:
                continue
    return answers


def _check_answers(decisions: Sequence[ProposedSetting], answers: Mapping[str, Any]) -> None:
    names = [decision.name for decision in decisions]
    for name in answers:
        if name not in names:
            raise Misuse(
                f"--set {name}: this file has no such question. There are: {', '.join(names)}."
            )


def _named(layout: FileLayout, notes: list[str]) -> FileLayout:
    """Return the layout with names for the columns of a file without a header."""
    if layout.has_header or not layout.first_rows:
        return layout
    first = layout.first_rows[0]
    # The second column of CDNOW is a day such as 19970101.
    if layout.delimiter == " " and len(first) == len(CDNOW) and len(first[1]) == 8:
        notes.append("Recognised by its columns: CDNOW (customer, day, number of CDs, dollars).")
        return layout.with_names(CDNOW, "the file has no header; names as in the CDNOW study")
    names = [f"column{place}" for place in range(len(first))]
    return layout.with_names(names, "the file has no header: give the columns your names")


def _reader(decisions: Sequence[ProposedSetting], project: ReaderSettings) -> ReaderSettings:
    proposed = {d.key: d.trial_value for d in decisions if d.table == "data.reader"}
    try:
        return ReaderSettings.model_validate({"null_words": project.null_words, **proposed})
    except ValidationError as error:
        raise Misuse(f"--set reader: {error.errors()[0]['msg']}.") from None


def _computed(
    connection: Any, reader: ReaderSettings, mapping: Mapping[str, str]
) -> tuple[Expressions, str] | None:
    """Return the expressions of ``mapping`` over the file, and SQL for its rows with their values.

    Returns None where one cannot be computed. The trial run names the cause to the person.
    """
    read = Expressions(connection, SOURCE, COLUMNS, reader, mapping)
    try:
        read.check()
    except Misuse:
        return None
    # Guarded, because a person's own expression may fail in single rows.
    rows = read.layered(SOURCE, list(mapping), guarded=True)
    return None if db.problem_with(connection, rows, "*") else (read, rows)


def _rates(
    connection: Any,
    decisions: Sequence[ProposedSetting],
    reader: ReaderSettings,
    answers: Mapping[str, Any],
) -> list[ProposedSetting]:
    """Return a question for each currency of the file that ``exchange_rates`` lacks.

    There is none where ``currency`` cannot be computed. A broken ``where`` is left out.
    """
    values = {d.name: d.trial_value for d in decisions if d.name in ("currency", "where")}
    mapping = {key: value for key, value in values.items() if value}
    if "currency" not in mapping:
        return []
    computed = _computed(connection, reader, mapping)
    computed = computed or _computed(connection, reader, {"currency": mapping["currency"]})
    if computed is None:
        return []
    read, source = computed
    # A filter may have another type than BOOLEAN, which the trial run refuses.
    kept = f"TRY_CAST({read.value('where')} AS BOOLEAN) IS TRUE"
    condition = kept if "where" in read.mapping else "true"
    rows = connection.execute(
        f"SELECT {as_word(read.value('currency'))} AS w, count(*) FROM {source} "  # noqa: S608
        f"WHERE {condition} GROUP BY w HAVING w NOT IN (SELECT currency FROM exchange_rates) "
        "ORDER BY 2 DESC LIMIT 20"
    ).fetchall()
    questions = []
    for code, n in rows:
        if code:
            why = (
                f"EUR per {code} ({n:,} rows): take the mean of the period, as the ECB has it, or "
                "give the rate of each day: [data] rates_file, docs/your-data.md",
            )
            rate = Candidate(1.0, "for the trial run alone: put the real rate in")
            questions.append(
                chosen(ProposedSetting("data.rates", str(code), None, why, [rate]), answers)
            )
    return questions


def _lawful_basis(
    decisions: Sequence[ProposedSetting], config: DataSettings, answers: Mapping[str, Any]
) -> list[ProposedSetting]:
    """Return the question about the lawful basis where there is no column of consent."""
    consent = any(d.name == "customer_columns.consent" and d.trial_value for d in decisions)
    if consent:
        return [
            ProposedSetting("data", "lawful_basis", "", ("the consent of the customers table",))
        ]
    why = ("no consent column: GDPR Art. 6(1) asks for a basis, which no file can tell",)
    configured = config.lawful_basis if config.lawful_basis in BASES else None
    question = ProposedSetting(
        "data", "lawful_basis", configured, why, [Candidate(basis) for basis in BASES]
    )
    return [chosen(question, answers)]


def _trial_config(
    project: DataSettings, decisions: Sequence[ProposedSetting], start: Mapping[str, Any]
) -> DataSettings | None:
    """Return the settings of the trial: ``project`` with ``start`` and the decisions.

    Open questions have their first candidate. Returns None where one has no candidate.
    """
    values: dict[str, Any] = {**project.model_dump(), **start}
    for decision in decisions:
        # The reader is in ``start`` already, and the label is no part of [data].
        if decision.table in ("data.reader", "label"):
            continue
        if (value := decision.trial_value) is None:
            return None
        place = values
        for name in decision.table.split(".")[1:]:
            place[name] = dict(place.get(name, {}))
            place = place[name]
        place[decision.key] = value
    try:
        return DataSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Misuse(f"--set {where}: {first['msg']}.") from None

"""churn data-subject and churn retain: requests of data subjects, and retention periods."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from sovereign_ml.cli.profile import ProfileOption, load_settings
from sovereign_ml.cli.step_commands import run_stale_steps
from sovereign_ml.errors import Misuse, Refused

app = typer.Typer()
data_subject = typer.Typer(
    no_args_is_help=True, help="Requests of data subjects: erase, access, rectify."
)
app.add_typer(data_subject, name="data-subject")
SubjectOption = Annotated[
    list[str] | None, typer.Option(help="Customer id as in your transactions; repeatable.")
]
FileOption = Annotated[Path | None, typer.Option(help="Customer ids, one per line.")]
ReferenceOption = Annotated[
    str, typer.Option(help="Your number of the request, for the receipt. No name.")
]
PseudonymOption = Annotated[
    bool, typer.Option("--pseudonyms", help="The ids given are pseudonyms already.")
]
MOMENTS = [f"%Y-%m-%d{t}%H:%M:%S{zone}" for t in (" ", "T") for zone in ("", "%z")]
"""Forms of a time on the command line: access.json has the zone, which is UTC."""


@data_subject.command()
def erase(
    subject: SubjectOption = None,
    file: FileOption = None,
    pseudonyms: PseudonymOption = False,
    again: Annotated[
        bool, typer.Option("--again", help="Erase everyone who came back out of a backup.")
    ] = False,
    reference: ReferenceOption = "",
    profile: ProfileOption = None,
) -> None:
    """Erase people from every store (GDPR Art. 17). Without a name, finish an erasure."""
    from sovereign_ml.cli.composition import project_stores
    from sovereign_ml.data_subjects import erasure
    from sovereign_ml.data_subjects.project_stores import alone, need_log
    from sovereign_ml.project import load_project

    settings = load_settings(profile)
    need_log(stores := project_stores(settings))
    people = _people(settings.pseudonym_keys, subject, file, pseudonyms)
    if again and not people and not (people := erasure.returned(stores)):
        typer.echo("No erased person is in the data, its versions, the object storage or the log.")
        return
    with alone(stores):
        receipt = erasure.erase(stores, people, reference)
    page = f"{erasure.RECEIPTS}/{receipt.id}.html"
    # A person has a pseudonym for each key, so with several keys the number is not that of people.
    people_erased = (
        "erased"
        if len(settings.pseudonym_keys()) == 1
        else "pseudonyms erased (people have one for each key)"
    )
    typer.echo(
        f"{len(receipt.people)} {people_erased}, {len(receipt.removed)} places. Receipt: {page}"
    )
    # A wrong id is a person nobody knows: the receipt would look like that of a whole erasure.
    if not receipt.removed and not receipt.remains:
        typer.echo(
            "  Nothing was found in any store: check the ids, which are those in your files."
        )
    for sentence in receipt.source:
        typer.echo(f"  {sentence}")
    typer.echo(f"  Model: {receipt.model.done}")
    if receipt.remains:
        places = ", ".join(trace.place for trace in receipt.remains)
        raise Refused(
            f"Still there: {places}. Remove them by hand, then call "
            "`churn data-subject erase` again: it continues."
        )
    typer.echo("Now commit governance/, data/source.json and dvc.lock, and run `churn push`.")
    # The card promises a model without the person.
    if receipt.model.answer in ("retrain_on_request", "unlearn"):
        run_stale_steps(settings, load_project(settings.root))


@data_subject.command()
def access(
    subject: Annotated[str, typer.Option(help="Customer id as in your transactions.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder for access.html and access.json.")
    ] = None,
    language: Annotated[
        str, typer.Option("--lang", help="Default: the first available language of your notice.")
    ] = "",
    pseudonyms: PseudonymOption = False,
    profile: ProfileOption = None,
) -> None:
    """Write everything held about a person, for them to read and take along (GDPR Art. 15, 20)."""
    from sovereign_ml.card.records import FILE, Sheet, read_additions
    from sovereign_ml.card.records.notice import SENTENCES
    from sovereign_ml.cli.composition import project_stores
    from sovereign_ml.cli.records import TEXTS, wording
    from sovereign_ml.data_subjects import access as request
    from sovereign_ml.data_subjects.access_report import languages
    from sovereign_ml.data_subjects.project_stores import need_log
    from sovereign_ml.privacy import suppression
    from sovereign_ml.texts import available, catalogue

    settings = load_settings(profile)
    names = _people(settings.pseudonym_keys, [subject], None, pseudonyms)
    stores, own = project_stores(settings), settings.root / TEXTS
    need_log(stores)
    card = request.card_of(stores)
    noticed = languages(card)
    offered = [code for code in noticed if code in available(own)]
    added = read_additions(settings.root / FILE)
    texts = wording(catalogue(language or next(iter(offered), "en"), own), added)
    answer = request.gather(stores, names, texts, added)
    # The name of the folder must not show the customer id.
    folder = (
        output
        or settings.root
        / "build/access"
        / suppression.tombstones(settings.suppression).mark(names[0])[:12]
    )
    for path in request.write(answer, folder, settings.project.organisation, texts):
        typer.echo(f"Wrote {path}")
    if answer.empty:
        typer.echo("Nothing is held about them. The answer says so.")
    for point in Sheet(card, texts, added).untranslated(*SENTENCES):
        typer.echo(point)
    if lacking := [name for name in noticed if name not in offered]:
        typer.echo(
            f"notice.languages in model_card.toml names {', '.join(lacking)}, and there are no texts "
            f"in it. There are {', '.join(sorted(available(own)))}; docs/documents.md says how to "
            "add one."
        )
    if missing := answer.unanswered(texts):
        typer.echo(
            f"model_card.toml does not say yet: {', '.join(missing)}. "
            "Answer it, then write this again."
        )
    typer.echo(
        "Hand it over safely, then delete it. `churn retain --apply` deletes it after the period "
        "of `copies`."
    )


@data_subject.command()
def rectify(
    subject: Annotated[str, typer.Option(help="Customer id as in your transactions.")],
    set_: Annotated[
        list[str], typer.Option("--set", help="column=value as the data has it; repeatable.")
    ],
    purchase: Annotated[
        datetime | None,
        typer.Option(formats=MOMENTS, help="Time (UTC) of the purchase that is wrong."),
    ] = None,
    event: Annotated[str, typer.Option(help="Event table of the event that is wrong.")] = "",
    at: Annotated[
        datetime | None,
        typer.Option(formats=MOMENTS, help="Time (UTC) of that event; with --event."),
    ] = None,
    pseudonyms: PseudonymOption = False,
    reference: ReferenceOption = "",
    profile: ProfileOption = None,
) -> None:
    """Correct a person's data, score and decide again, and link both decisions (GDPR Art. 16)."""
    from sovereign_ml.cli.composition import project_stores
    from sovereign_ml.data_subjects import rectification as request
    from sovereign_ml.data_subjects.project_stores import alone, need_log
    from sovereign_ml.privacy import corrections

    settings = load_settings(profile)
    if wrong := [text for text in set_ if "=" not in text]:
        raise Misuse(
            f"--set {wrong[0]!r} has no '=': write column=value, such as --set amount_eur=12.50."
        )
    values = {
        name.strip(): value.strip() for name, _, value in (text.partition("=") for text in set_)
    }
    names = _people(settings.pseudonym_keys, [subject], None, pseudonyms)
    if bool(event) != bool(at) or (event and purchase):
        raise Misuse("Name one row: --purchase TIME, or --event NAME --at TIME, or none of them.")
    moment = purchase or at
    # The data has UTC, and a time without a zone is one of the data.
    if moment:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    row = corrections.CorrectedRow(moment, event)
    need_log(stores := project_stores(settings))
    with alone(stores):
        receipt, page = request.rectify(stores, names, row, values, reference)
    rows = "1 row" if receipt.rows == 1 else f"{receipt.rows:,} rows"
    typer.echo(
        f"{', '.join(values)} corrected in {rows}. Receipt: {page.relative_to(settings.root)}"
    )
    if again := receipt.again:
        typer.echo(
            f"  Decided again: {again.score_before:.3f} ({again.outcome_before}) is now "
            f"{again.score_after:.3f} ({again.outcome_after}); "
            f"decision {again.new} corrects {again.old}."
        )
    else:
        typer.echo(
            "  Nothing was decided again: no decision is on record, its model is not, the person is "
            "barred, or an input of today is missing. A new score, if there is one, is in "
            "data/8_scores."
        )
    if receipt.noted:
        typer.echo(f"  Decisions on record with a note of the correction: {len(receipt.noted):,}.")
    recipients = "; ".join(receipt.recipients) or "none"
    typer.echo(f"  Inform these recipients (GDPR Art. 19): {recipients}.")
    typer.echo(
        "Correct your source file too. Then commit governance/, data/source.json and dvc.lock, "
        "and run `churn push`."
    )


@app.command()
def retain(
    apply: Annotated[
        bool, typer.Option("--apply/--plan", help="Delete what is due, or only list it.")
    ] = False,
    at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="As if it were this day (UTC).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The list as JSON.")] = False,
    profile: ProfileOption = None,
) -> None:
    """List or delete data past its period (GDPR Art. 5(1)(e))."""
    import json

    from sovereign_ml.cli.composition import project_stores
    from sovereign_ml.data_subjects import retention
    from sovereign_ml.data_subjects.project_stores import alone, need_log

    stores = project_stores(load_settings(profile))
    need_log(stores, in_a_clone=True)
    now = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    # A day that somebody names says nothing about the clock of this machine.
    if at is None:
        retention.refuse_wrong_clock(stores, now)
    retention.refuse_short_log(stores.retention, stores.artifacts.card, now)
    if apply:
        with alone(stores):
            due = retention.apply(stores, now)
    else:
        due = retention.plan(stores, now)
    if json_:
        typer.echo(json.dumps([item.model_dump(mode="json") for item in due], indent=2))
        return
    for item in due:
        typer.echo(
            f"{item.data_class:<13}{item.count:>9,} {item.unit:<9}"
            f"before {item.before:%Y-%m-%d}  {item.place}"
        )
    done = "deleted" if apply else "due; `churn retain --apply` deletes exactly this"
    typer.echo(f"{len(due)} places {done}." if due else "Nothing is past its period.")


@data_subject.command("rotate-key")
def rotate_key(
    new_key_file: Annotated[
        Path | None, typer.Option(help="File with the new key in hex; made if absent.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Change the key of the pseudonyms. Erasures, objections and corrections stay in force."""
    from sovereign_ml.cli.composition import project_stores
    from sovereign_ml.data_subjects import key_rotation
    from sovereign_ml.data_subjects.project_stores import alone, need_log

    settings = load_settings(profile)
    need_log(stores := project_stores(settings))
    with alone(stores):
        done = key_rotation.rotate(
            stores,
            settings.secrets.key_file,
            # A key that the environment gives is replaced by its owner and not by this command.
            in_use=settings.secrets.pseudonym_key is None,
            file=new_key_file,
        )
    typer.echo(
        f"{done.people:,} people of the source have a new pseudonym. "
        f"Carried over: {done.tombstones:,} tombstones, {done.objections:,} objections and other "
        f"bars, {done.corrections:,} corrections. No mapping was stored."
    )
    if done.in_use:
        typer.echo(f"The keys, newest first, are in {done.keys}: back it up apart from the data.")
    else:
        typer.echo(
            f"Put the content of {done.keys} (keys, newest first) into CHURN_PSEUDONYM_KEY, "
            "then delete it."
        )
    typer.echo(
        "Next: `churn run` and `churn push`, then `churn servers materialise` if the online store "
        "was in use."
    )


def _people(
    keys: Callable[[], tuple[bytes, ...]],
    subject: list[str] | None,
    file: Path | None,
    are_pseudonyms: bool,
) -> list[str]:
    """Return the pseudonyms of the people named on the command line and in the file.

    Pseudonyms under the key in use come first, then those under former keys. Raises Misuse where
    an option names nobody, as a variable of a script without a value does.
    """
    from sovereign_ml.pseudonyms import names_of, plain_id

    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file else []
    except (OSError, UnicodeDecodeError) as error:
        # The text of the second error would hold bytes of the file.
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Misuse(f"Cannot read {file}: {reason}. It needs one customer id per line.") from None
    named, listed = [plain_id(id_) for id_ in subject or ()], [*filter(None, map(plain_id, lines))]
    if "" in named:
        raise Misuse("--subject is empty: give a customer id as in your transactions.")
    if file and not listed:
        raise Misuse(f"{file} names nobody: write one customer id per line.")
    ids = [*named, *listed]
    if not are_pseudonyms:
        # `keys` is a function: pseudonyms need no key, and to read it may create it.
        return list(names_of(ids, keys()))
    if wrong := [id_ for id_ in ids if not re.fullmatch("[0-9a-f]{32}", id_)]:
        raise Misuse(
            f"{wrong[0]!r} is no pseudonym (32 of 0-9a-f); leave --pseudonyms out for customer ids."
        )
    return ids


@data_subject.command()
def pseudonym(
    customer_id: Annotated[str, typer.Argument(help="The customer id as in your transactions.")],
) -> None:
    """Print the pseudonym of a customer in the data, the scores and the service."""
    from sovereign_ml.pseudonyms import plain_id, pseudonyms

    typer.echo(pseudonyms([plain_id(customer_id)], load_settings(None).pseudonym_key())[0])

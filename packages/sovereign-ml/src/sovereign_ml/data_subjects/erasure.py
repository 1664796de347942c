"""Erasure in this project: its stores, what the card says about the model, what lies in the source files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects import bucket_sync, store_inventory
from sovereign_ml.data_subjects.erasure_procedure import Erasure, Journal
from sovereign_ml.data_subjects.receipts import Kept, ModelNote, Receipt
from sovereign_ml.data_subjects.stores import dvc_versions, mlflow_runs
from sovereign_ml.data_subjects.stores.base import Store
from sovereign_ml.data_subjects.stores.files import clear_leftovers
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline import source
from sovereign_ml.privacy import suppression
from sovereign_ml.pseudonyms import names_of

JOURNAL = Path(".churn/rights/erasure.json")
RECEIPTS = Path(suppression.FOLDER) / "receipts"
DATA_STAGES = ("data", "validate", "features")
KEPT = (
    Kept(
        what="A tombstone: a keyed hash of the pseudonym",
        why="GDPR Art. 17(1), 5(2): an old file or backup must not "
        "bring the person back; without the key it names nobody",
    ),
    Kept(
        what="Counts and metrics in reports, model card and MLflow",
        why="They are about no identifiable person",
    ),
    Kept(
        what="Seals and times of blanked entries in the decision log",
        why="GDPR Art. 5(2), 17(3)(e): they prove that the log was not changed; the content is gone",
    ),
    Kept(
        what="A hash of the pseudonym in the decision log",
        why="GDPR Art. 17(1), 5(2): the service must not decide about the person again from an old file",
    ),
)


def erase(settings: Settings, people: Sequence[str], reference: str = "") -> Receipt:
    """Finish an interrupted erasure if there is one, then erase ``people`` (pseudonyms); return the last receipt.

    Raises Misuse if nobody is named and nothing was interrupted, or if a server of the profile is not reached.
    """
    receipt = _resume(settings)
    if receipt and set(receipt.people) >= set(
        map(suppression.tombstones(settings.suppression).mark, people)
    ):
        return receipt
    if not people:
        raise Misuse(
            "Nobody to erase: name somebody with --subject or --file. No erasure was interrupted."
        )
    notes = {"clean": dvc_versions.clean_stages(settings.root), "answer": model_action(settings)}
    return _run(settings, _procedure(settings).begin(people, reference, notes))


def returned(settings: Settings) -> list[str]:
    """Pseudonyms of erased people who are there again, out of a backup: in any table of theirs, or in the log."""
    return sorted(
        suppression.tombstones(settings.suppression).among(store_inventory.everybody(settings))
    )


def _resume(settings: Settings) -> Receipt | None:
    left = _procedure(settings).interrupted()
    return _run(settings, left) if left else None


def model_action(settings: Settings) -> str:
    """``erasure.model_action`` of model_card.toml; ``unanswered`` when it is open, or when anonymity is not claimed."""
    from sovereign_ml.card.build import read_answers

    answers = read_answers(settings.root / "model_card.toml")
    action = str(answers.get("erasure", {}).get("model_action", "?"))
    claim = answers.get("model_privacy", {}).get("claim")
    unproven = action == "none_model_anonymous" and claim != "anonymous"
    return "unanswered" if action == "?" or unproven else action


def in_source(settings: Settings, people: Sequence[str]) -> list[str]:
    """One sentence for each input file: whether somebody of ``people`` still stands in it."""
    if settings.data.transactions == source.SYNTHETIC:
        return ["The built-in shop: nobody in it is real, and step 1 leaves the erased out."]
    return [
        _one_source(settings, given, column, set(people))
        for given, column in source.tables(settings).items()
    ]


def _one_source(settings: Settings, given: str, expression: str, people: set[str]) -> str:
    if not source.present(settings, given):
        return f"{given}: is not on this machine; its owner has to look for the person."
    counts = source.counts(settings, given, expression)
    names = names_of(counts, settings.pseudonym_keys())
    found = sum(counts[one] for one in {names[name] for name in names.keys() & people})
    if not found:
        return f"{given}: the people are not in it."
    rows = "1 row is" if found == 1 else f"{found:,} rows are"
    return (
        f"{given}: {rows} about them. This file is yours and was not changed: delete the rows there. "
        "Step 1 leaves them out until then."
    )


def _procedure(settings: Settings, places: Sequence[Store] = ()) -> Erasure:
    return Erasure(
        places,
        suppression.tombstones(settings.suppression),
        settings.root / JOURNAL,
        settings.root / RECEIPTS,
    )


def _run(settings: Settings, journal: Journal) -> Receipt:
    clear_leftovers(settings.root / "data")
    log = store_inventory.log(settings)
    keep = partial(_keep, settings, journal)
    procedure = _procedure(
        settings, store_inventory.every(settings, log, settings.root / JOURNAL.parent, keep)
    )
    remains = procedure.remove(journal)
    note = _settle_model(settings, journal)
    kept = [*KEPT, *(log.kept(journal.people) if log else ())]
    return procedure.finish(journal, remains, note, in_source(settings, journal.people), kept)


def _keep(settings: Settings, journal: Journal) -> None:
    """Record the cleaned files as the version of every stage that was up to date before; others run again anyway.

    Stages that make the model keep their old inputs in the lock unless the model stays: then they are due.
    """
    source.note_what_is_gone(settings)
    stays = journal.notes["answer"] == "none_model_anonymous"
    clean = journal.notes["clean"]
    dvc_versions.commit(settings.root, [s for s in clean if stays or s in (*DATA_STAGES, "score")])
    bucket_sync.publish(settings)


def _settle_model(settings: Settings, journal: Journal) -> ModelNote:
    answer = journal.notes["answer"]
    if answer == "retire":
        count = mlflow_runs.retire(settings)
        store_inventory.drop(settings, ("train", "register"))
        done = f"{count} registry versions, their runs and artifacts are deleted. The next `churn run` trains anew."
    elif answer == "none_model_anonymous":
        done = "Nothing: the card claims and shows that the model is anonymous (model_privacy)."
    elif answer in ("retrain_on_request", "unlearn"):
        done = "Retrained without the person right after this receipt; `churn promote` then replaces the old version."
    else:
        done = "The model is stale from now on: the next `churn run` trains it without the person."
    return ModelNote(answer=answer, done=done)

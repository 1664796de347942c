"""Erasure in a project: its stores, what the card says about the model, the source files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sovereign_ml.config.connections import SuppressionFiles
from sovereign_ml.config.data_tables import ReaderSettings
from sovereign_ml.data_subjects.erasure_procedure import ErasureProcedure, Journal
from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.data_subjects.receipts import KeptItem, ModelNote, Receipt
from sovereign_ml.data_subjects.stores import dvc_versions, inventory, mlflow_runs
from sovereign_ml.data_subjects.stores.files import clear_leftovers
from sovereign_ml.data_subjects.stores.protocol import Store
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.card_facts.left_system import still_there
from sovereign_ml.pipeline.source import SYNTHETIC, InputFiles
from sovereign_ml.privacy import suppression
from sovereign_ml.pseudonyms import names_of

JOURNAL = Path(".churn/rights/erasure.json")
RECEIPTS = Path(suppression.FOLDER) / "receipts"
DATA_STAGES = ("data", "validate", "features")
KEPT = (
    KeptItem(
        what="A tombstone: a keyed hash of the pseudonym",
        why="GDPR Art. 17(1), 5(2): an old file or backup must not "
        "bring the person back. Without the key it identifies nobody",
    ),
    KeptItem(
        what="Counts and metrics in reports, model card and MLflow",
        why="They are about no identifiable person",
    ),
    KeptItem(
        what="Seals and times of blanked entries in the decision log",
        why="GDPR Art. 5(2), 17(3)(e): they prove that the log was not changed. "
        "The content is deleted",
    ),
    KeptItem(
        what="A hash of the pseudonym in the decision log",
        why="GDPR Art. 17(1), 5(2): the service must not decide about the person again "
        "from an old file",
    ),
)


def erase(stores: ProjectStores, people: Sequence[str], reference: str = "") -> Receipt:
    """Finish an interrupted erasure if there is one, then erase ``people`` (pseudonyms).

    Return the last receipt. People of whom something remains are searched again together with
    ``people``. Raises Misuse if no person is named and nothing was interrupted, or if a server of
    the profile is not reached.
    """
    procedure = _procedure(stores.root, stores.suppression)
    interrupted = procedure.interrupted()
    unfinished: list[str] = []
    if interrupted:
        receipt = _run(stores, interrupted)
        # The interrupted erasure may have been about these very people.
        if set(receipt.people) >= set(map(suppression.tombstones(stores.suppression).mark, people)):
            return receipt
        # A journal is about to replace the one that still names them, and they would be forgotten.
        if receipt.remains:
            unfinished = interrupted.people
            reference = ", ".join(filter(None, (interrupted.reference, reference)))
    if not people:
        raise Misuse(
            "Nobody to erase: name somebody with --subject or --file. No erasure was interrupted."
        )
    # Noted before anything changes: afterwards every stage would look changed.
    notes = {
        "clean": dvc_versions.clean_stages(stores.root),
        "answer": model_action(stores.root / "model_card.toml"),
    }
    return _run(stores, procedure.begin([*unfinished, *people], reference, notes))


def returned(stores: ProjectStores) -> list[str]:
    """Return the pseudonyms of erased people who are in a table or in the log again."""
    tombstones = suppression.tombstones(stores.suppression)
    return sorted(tombstones.among(inventory.everybody(stores)))


def model_action(card: Path) -> str:
    """Return the card's ``erasure.model_action``, or ``unanswered`` if open or unproven."""
    from sovereign_ml.card.build import read_answers

    answers = read_answers(card)
    action = str(answers.get("erasure", {}).get("model_action", "?"))
    claim = answers.get("model_privacy", {}).get("claim")
    # A model is not anonymous because somebody says so here: the card has to claim it as well.
    unproven = action == "none_model_anonymous" and claim != "anonymous"
    return "unanswered" if action == "?" or unproven else action


def in_source(files: InputFiles, keys: Sequence[bytes], people: Sequence[str]) -> list[str]:
    """Return one sentence for each input file that says if it still holds any of ``people``.

    ``keys`` are the keys of the pseudonyms.
    """
    shop = ["The built-in shop: its people are invented, and step 1 leaves the erased out."]
    sentences = [_in_file(files, keys, table, set(people)) for table in files.tables()]
    return [*(shop if files.config.transactions == SYNTHETIC else []), *sentences]


def _in_file(
    files: InputFiles,
    keys: Sequence[bytes],
    table: tuple[str, str, ReaderSettings],
    people: set[str],
) -> str:
    path = table[0]
    if not files.present(path):
        return f"{path}: is not on this machine; its owner has to look for the person."
    counts = files.counts(*table)
    names = names_of(counts, keys)
    ids = {names[name] for name in names.keys() & people}
    rows = sum(counts[id_] for id_ in ids)
    if not rows:
        return f"{path}: the people are not in it."
    words = "1 row is" if rows == 1 else f"{rows:,} rows are"
    return (
        f"{path}: {words} about them. This file is yours and was not changed: "
        "delete the rows there. Step 1 leaves them out until then."
    )


def _procedure(
    root: Path, files: SuppressionFiles, stores: Sequence[Store] = ()
) -> ErasureProcedure:
    return ErasureProcedure(stores, suppression.tombstones(files), root / JOURNAL, root / RECEIPTS)


def _run(stores: ProjectStores, journal: Journal) -> Receipt:
    root = stores.root
    # What a killed process left half-written would be searched like data.
    clear_leftovers(root)
    log = inventory.decisions(stores.log)
    record = partial(_record_versions, stores, journal)
    every = inventory.every(stores, log, root / JOURNAL.parent, record)
    procedure = _procedure(root, stores.suppression, every)
    remains = procedure.remove(journal)
    note = _settle_model(stores, str(journal.notes["answer"]))
    kept_items = [*KEPT, *(log.kept(journal.people) if log else ())]
    sentences = in_source(stores.source.files, stores.suppression.keys(), journal.people)
    sentences += still_there(root)
    return procedure.finish(journal, remains, note, sentences, kept_items)


def _record_versions(stores: ProjectStores, journal: Journal) -> None:
    """Record the cleaned files as the version of every stage that was up to date before.

    Other stages run again anyway. Stages that make the model keep their old inputs in the lock
    unless the model stays: then they are due.
    """
    stores.source.note_removed_rows()
    stays = journal.notes["answer"] == "none_model_anonymous"
    clean = journal.notes["clean"]
    dvc_versions.commit(stores.root, [s for s in clean if stays or s in (*DATA_STAGES, "score")])
    stores.governance.publish()


def _settle_model(stores: ProjectStores, answer: str) -> ModelNote:
    if answer == "retire":
        count = mlflow_runs.retire(stores.tracking)
        inventory.drop(stores, ("train", "register"))
        done = (
            f"{count} registry versions, their runs and artifacts are deleted. "
            "The next `churn run` trains a new model."
        )
    elif answer == "none_model_anonymous":
        done = "Nothing: the card claims and shows that the model is anonymous (model_privacy)."
    elif answer in ("retrain_on_request", "unlearn"):
        done = (
            "Retrained without the person right after this receipt; "
            "`churn promote` then replaces the old version."
        )
    else:
        done = "The model is stale from now on: the next `churn run` trains it without the person."
    return ModelNote(answer=answer, done=done)

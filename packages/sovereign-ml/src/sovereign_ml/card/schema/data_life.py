"""Answers about data, retention, erasure and the model as personal data (groups I, J, K)."""

from __future__ import annotations

from typing import Literal

from sovereign_ml.card.schema.base import Day, Flag, Group, Number, Open, Text, Texts, ask

Origin = Literal["subject", "third_party", "inferred"]
Mechanism = Literal["automatic", "manual", "none"]
StoredObject = Literal[
    "raw",
    "features",
    "train_snapshot",
    "dvc_cache",
    "experiment_log",
    "model",
    "scores",
    "decision_log",
    "review_log",
    "notebook_output",
    "backups",
]
ModelAction = Literal[
    "none_model_anonymous", "retrain_on_schedule", "retrain_on_request", "unlearn", "retire"
]
Claim = Literal["anonymous", "personal_data", "not_assessed"]
Lawfulness = Literal[
    "lawful", "unlawful_open", "unlawful_remedied", "third_party_checked", "third_party_unchecked"
]


class Source(Group):
    """A source of data (GDPR 13-14, 15(1)(g))."""

    name: Text
    origin: Origin | Open = ask("From the person, a third party, or inferred?", "GDPR 14, 15(1)(g)")
    collection_period: Text = ask("Collected over which period?", "GDPR 5(1)(b)", when="optional")
    legal_owner: Text = ask("Who owns it?", "GDPR 5(2)", when="optional")
    art14_given: Flag = ask("If from a third party: were people told?", "GDPR 14", when="optional")


class Data(Group):
    """Sources, label and minimisation (I)."""

    sources: tuple[Source, ...] | Open = ask(
        "Where does the data come from?", "GDPR 13-14, 15(1)(g); AI Act Annex IV 2", by="both"
    )
    label_definition: Text = ask(
        "What exactly does the model predict?", "GDPR 5(1)(d); AI Act Annex IV 2", form="sentence"
    )
    row_window_justified: Text = ask(
        "Why is the span of history that is used long enough and no longer?",
        "GDPR 5(1)(c); C-446/21",
        form="sentence",
    )
    pseudonymisation: Text = ask(
        "How are customer numbers replaced?", "GDPR 4(5), 25(1), 32(1)(a)", form="sentence"
    )
    pseudonymisation_key_location: Text = ask(
        "Where is the key kept, away from the data?", "GDPR 4(5)", form="place"
    )
    pseudonymisation_key_owner: Text = ask("Which role holds the key?", "GDPR 4(5), 32")


class RetentionRule(Group):
    """The time that one stored object is kept (GDPR 5(1)(e), 13(2)(a), 30(1)(f))."""

    object: StoredObject
    period: Text = ask("How long (ISO 8601, e.g. P24M)?", "GDPR 5(1)(e)", form="period")
    start_event: Text = ask("Counted from what?", "GDPR 5(1)(e)", when="optional")
    mechanism: Mechanism | Open = ask("Deleted how?", "GDPR 5(1)(e), 25", when="optional")
    # A bucket with versions still holds an object that was deleted.
    covers_versions: Flag = ask(
        "Are old versions of the object deleted too?", "GDPR 5(1)(e)", when="optional"
    )


class RetentionAnswers(Group):
    """The time that each stored object is kept (J)."""

    objects: tuple[RetentionRule, ...] | Open = ask(
        "How long is each stored object kept?", "GDPR 5(1)(e), 13(2)(a), 30(1)(f)"
    )


class ErasureAnswers(Group):
    """The erasure of a person (J).

    Sources: GDPR 17, 12(3), 19.
    """

    channel: Text = ask("How does a person ask to be erased?", "GDPR 17(1), 12(2)", form="place")
    # Article 12(3) gives one month from the request.
    max_days: Number = ask("Within how many days is it done?", "GDPR 12(3)")
    model_action: ModelAction | Open = ask(
        "What happens to a model that was trained on their data?", "GDPR 17; Opinion 28/2024 s. 3.2"
    )
    backups: Text = ask("What happens in backups?", "GDPR 17(1)", form="sentence")


class Restriction(Group):
    """Restriction of processing (GDPR 18)."""

    flag_source: Text = ask(
        "Where is it recorded that a person's data is restricted?", "GDPR 18", form="place"
    )
    excluded_from_scoring: Flag = ask("Are these people left out of scoring?", "GDPR 18", by="both")


class ModelPrivacy(Group):
    """The question whether the model is personal data (K).

    Neither answer may be presumed (Opinion 28/2024 section 3.2).
    """

    claim: Claim | Open = ask(
        "Do you claim that the model itself is anonymous?", "Opinion 28/2024 s. 3.2"
    )
    adversaries_considered: Text = ask(
        "Whose attempts to extract data were considered, with which means?",
        "Opinion 28/2024 s. 3.2",
        when="claims_anonymous",
        form="sentence",
    )
    conclusion_ref: Text = ask(
        "Where is the conclusion?", "Opinion 28/2024 s. 3.2", when="claims_anonymous", form="place"
    )
    # Section 3.4: data obtained unlawfully may make the use of the model unlawful too.
    upstream_lawfulness: Lawfulness | Open = ask(
        "Was the data, or a model you built on, obtained lawfully?",
        "Opinion 28/2024 s. 3.4; GDPR 5(2)",
    )
    access_controls: Text = ask(
        "Who can query or copy the model?", "GDPR 25, 32", by="both", form="place"
    )


class Identity(Group):
    """Statements of people about this version of the model (A)."""

    review_due: Day = ask("By when is this card reviewed?", "GDPR 24(1), 35(11)")
    base_model: Text = ask(
        "Which third-party model is it built on?", "AI Act Annex IV 2, 25", when="optional"
    )
    third_party_components: Texts = ask(
        "Which third-party components carry the model (with licence)?",
        "AI Act 25",
        when="optional",
        default=(),
    )
    change_summary: Text = ask(
        "What changed since the version before?", "AI Act Annex IV 6", when="from_second_version"
    )
    predetermined_changes: Text = ask(
        "Which changes are planned?", "AI Act 13(3)(c)", when="optional"
    )

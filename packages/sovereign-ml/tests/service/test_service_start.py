import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bundles import facts_of_bundle
from cards import LIBRARY, TODAY, card, signed
from service_desk import KEYS, write_bundle
from shipped import environment
from sovereign_ml.bundle import release_check
from sovereign_ml.bundle.library_identity import LibraryIdentity
from sovereign_ml.bundle.sealed import MANIFEST, read_manifest, seal_again
from sovereign_ml.service.admission import admit_with
from sovereign_ml.service.settings import ServiceSettings, SettingsError, read

LINE = KEYS["score"][1]


def _eu(bundle: Path) -> ServiceSettings:
    return ServiceSettings(bundle=bundle, profile="eu")


@pytest.fixture(autouse=True)
def day_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cards of the tests have fixed dates, which must not expire."""
    monkeypatch.setattr(release_check, "today", lambda: TODAY)


def _card(facts: dict[str, Any] | None = None, **answers: Any) -> dict[str, Any]:
    fitting = facts_of_bundle() | (facts or {})
    return signed(card(answers=answers, facts=fitting)).model_dump(mode="json")


def test_eu_serves_a_bundle_whose_card_the_rules_let_pass(tmp_path: Path) -> None:
    assert admit_with(_eu(write_bundle(tmp_path, card=_card(), profile="eu")), LIBRARY)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"card": {"schema_version": "1"}}, "card.json is no model card"),
        ({"profile": "local"}, "the bundle was made with profile local"),
        ({"reviewer_contact": ""}, "no reviewer_contact"),
        ({"reviewer_contact": "TODO"}, "no reviewer_contact"),
        ({"reviewer_contact": "care@example.eu"}, "no reviewer_contact"),
        ({"card": _card(**{"decision.not_selected_outcome": "?"})}, "R21"),
        ({"card": _card(**{"purpose.relation_to_collection": "incompatible"})}, "R26"),
        ({"card": card().model_dump(mode="json")}, "R48"),
        ({"rules": {"approval_roles": ("business_owner", "model_owner", "legal")}}, "R48"),
    ],
    ids=[
        *(
            "no card",
            "local bundle",
            "no contact",
            "placeholder",
            "example address",
            "open answer",
            "blocked rule",
        ),
        *("not approved", "not approved by all whom the bundle's own rules name"),
    ],
)
def test_eu_does_not_start_and_says_why(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    bundle = write_bundle(tmp_path, **{"card": _card(), "profile": "eu", **wrong})
    with pytest.raises(SettingsError, match=reason):
        admit_with(_eu(bundle), LIBRARY)


BANDS = [{"name": "low", "below": 0.45}, {"name": "medium", "below": 0.6}]
LAST = {"name": "high", "below": 1.01}
NOT_AS_APPROVED = {
    "model changed": ({"model.artifact_sha256": "a" * 64}, {}, "the card approves aaaaaaaaaaaa"),
    "no model named": ({"model.artifact_sha256": None}, {}, "the card approves unknown"),
    "threshold moved": ({}, {"bands": (*BANDS, LAST)}, "policy.json has the bands low below 0.45"),
    "bands renamed": (
        {},
        {"bands": (*BANDS[:1], {**LAST, "name": "top"}), "action_band": "top"},
        "top",
    ),
    "acts earlier": ({}, {"action_band": "medium"}, "action_band medium, the card approves high"),
    "acts alone": ({}, {"human_review": True}, "human_review True, the card approves False"),
    "significant": ({}, {"significant_effect": True}, "has significant_effect True"),
    "old features": ({}, {"max_feature_age_days": 999}, "max_feature_age_days 999, the card"),
    "another contact": ({}, {"reviewer_contact": "Care, care@rival.test"}, "reviewer_contact Care"),
    "age unknown": ({"decision.max_feature_age_days": None}, {}, "30, the card approves None"),
    "other inputs": ({"data.features": []}, {}, "the card differ in inputs: avg_order_value"),
    "local card": ({"run.profile": "local"}, {}, "made in profile local, the bundle in profile eu"),
}


@pytest.mark.parametrize("how", NOT_AS_APPROVED)
def test_a_bundle_that_was_sealed_again_over_something_else_does_not_start_in_eu(
    tmp_path: Path, how: str
) -> None:
    facts, policy, reason = NOT_AS_APPROVED[how]
    bundle = write_bundle(tmp_path, card=_card(facts), profile="eu", **policy)
    with pytest.raises(SettingsError, match=reason):
        admit_with(_eu(bundle), LIBRARY)


OUTCOMES: dict[str, Any] = {
    "granted": {
        "from_band": "low",
        "changes_nothing": True,
        "words": {"en": "Credit granted", "de": "Kredit gewährt"},
    },
    "refused": {
        "from_band": "high",
        "words": {"en": "Credit refused", "de": "Kredit verweigert"},
    },
}


@pytest.mark.parametrize(
    ("outcome", "changed"),
    [
        ("refused", {"words": {"en": "Credit granted", "de": "Kredit verweigert"}}),
        ("refused", {"words": {"en": "Credit refused", "de": "Kredit gewährt"}}),
        ("granted", {"changes_nothing": False}),
    ],
)
def test_outcomes_with_other_words_than_approved_do_not_start_in_eu(
    tmp_path: Path, outcome: str, changed: dict[str, Any]
) -> None:
    approved = [{"name": name, **each} for name, each in OUTCOMES.items()]
    card = _card({"decision.outcomes": approved})
    good = write_bundle(tmp_path / "good", card=card, profile="eu", outcomes=OUTCOMES)
    assert admit_with(_eu(good), LIBRARY)
    other = {**OUTCOMES, outcome: {**OUTCOMES[outcome], **changed}}
    bundle = write_bundle(tmp_path / "other", card=card, profile="eu", outcomes=other)
    with pytest.raises(SettingsError, match=r"policy.json has the outcomes"):
        admit_with(_eu(bundle), LIBRARY)


@pytest.mark.parametrize(
    "changed", [{"label": "days since birth"}, {"unit": "count"}, {"changeable": False}]
)
def test_a_contract_that_tells_people_something_else_does_not_start_in_eu(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    bundle = write_bundle(tmp_path, card=_card(), profile="eu")
    path = bundle / "contract.json"
    contract = json.loads(path.read_text())
    feature = next(each for each in contract["features"] if each["name"] == "recency_days")
    feature |= changed
    path.write_text(json.dumps(contract))
    seal_again(bundle, read_manifest(bundle / MANIFEST))
    with pytest.raises(SettingsError, match=r"contract.json has .* of recency_days, the card"):
        admit_with(_eu(bundle), LIBRARY)


def test_rules_that_were_loosened_in_the_bundle_do_not_start_in_eu(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, card=_card(), profile="eu", rules={"law_valid_days": 9999})
    with pytest.raises(SettingsError, match=r"P01.*law_valid_days.*P02"):
        admit_with(_eu(bundle), LIBRARY)


def test_eu_does_not_start_where_every_key_has_expired(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    over, last = today - timedelta(days=30), today - timedelta(days=1)
    given = {"CHURN_PROFILE": "eu", "CHURN_LOG": str(tmp_path / "decisions.db")}
    with pytest.raises(SettingsError, match=f"every key has expired, the last one on {last},"):
        read({**given, "CHURN_KEYS": f"{LINE}:{last}\n{LINE}:{over}"})
    # A key works on its last day, and one that works is enough.
    assert len(read({**given, "CHURN_KEYS": f"{LINE}:{over} {LINE}:{today}"}).keys) == 2
    assert read({**given, "CHURN_KEYS": f"{LINE}:{over} {LINE}"}).keys[1].expires is None


def test_local_starts_with_the_same_bundle_and_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    admit_with(ServiceSettings(bundle=write_bundle(tmp_path, reviewer_contact="TODO")), LIBRARY)
    (record,) = caplog.records
    assert (
        "would not start in profile eu, for 3 reasons; the first: policy.json has no reviewer"
        in record.getMessage()
    )


OTHER_RULES = replace(LIBRARY, rule_digest="a" * 64)
DEVELOPMENT = replace(LIBRARY, state="development")
EARLY = replace(LIBRARY, startup_code=("/site/early.pth runs code at start-up",))
REFUSED_IN_EU = [
    (OTHER_RULES, "judged by the rules ffffffffffff of sovereign-ml 2026.11.0, installed"),
    (DEVELOPMENT, "development version here, installed from no wheel"),
    (EARLY, "early.pth runs code at start-up and belongs to no installed package"),
]


@pytest.mark.parametrize(("library", "reason"), REFUSED_IN_EU)
def test_a_library_that_proves_nothing_stops_the_start_in_eu_and_warns_in_local(
    tmp_path: Path, library: LibraryIdentity, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_bundle(tmp_path, card=_card(), profile="eu")
    with pytest.raises(SettingsError, match=reason):
        admit_with(_eu(bundle), library)
    admit_with(ServiceSettings(bundle=bundle), library)
    assert reason in caplog.text


@pytest.mark.parametrize("profile", ["local", "eu"])
def test_a_library_that_was_changed_serves_in_no_profile(tmp_path: Path, profile: str) -> None:
    line = "sovereign_ml/card/rules/marketing.py was changed after it was installed"
    changed = replace(LIBRARY, state="changed", problems=(line,))
    bundle = write_bundle(tmp_path, card=_card(), profile="eu")
    with pytest.raises(SettingsError, match=line):
        admit_with(ServiceSettings.model_validate({"bundle": bundle, "profile": profile}), changed)


def test_a_manifest_that_names_other_rules_than_its_card_does_not_start(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, card=_card(), profile="eu")
    text = (bundle / "bundle.json").read_text().replace("f" * 64, "a" * 64)
    (bundle / "bundle.json").write_text(text)
    with pytest.raises(SettingsError, match="name different rules"):
        admit_with(_eu(bundle), OTHER_RULES)


def test_a_bundle_that_was_changed_after_sealing_starts_nowhere(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    (bundle / "model.json").write_text((bundle / "model.json").read_text().replace("0.28", "0.29"))
    with pytest.raises(SettingsError, match="changed after the bundle was sealed"):
        admit_with(ServiceSettings(bundle=bundle), LIBRARY)


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"CHURN_PROFILE": "eu", "DATABASE_URL": "postgresql://db"}, "does not start without keys"),
        ({"CHURN_PROFILE": "eu", "CHURN_KEYS": LINE}, "no network drive, .* must not be lost"),
        ({"CHURN_PROFILE": "us"}, "CHURN_PROFILE is 'us'"),
        ({"CHURN_HOST": "0.0.0.0"}, "listens on 127.0.0.1 only"),
        ({"CHURN_KEYS": "secret"}, "entry 1 is not name:scope"),
        ({"PORT": "99999"}, "PORT is '99999'"),
        ({"CHURN_SESSION_SECRET": "short"}, "CHURN_SESSION_SECRET has to be 32"),
        (
            {"CHURN_KEYS": LINE, "CHURN_SESSION_SECRET": LINE.split(":")[2]},
            "no hash of CHURN_KEYS",
        ),
        ({"FEATURE_STORE_URI": "https://[bad"}, "FEATURE_STORE_URI is no address"),
        ({"FEATURE_STORE_URI": "http://fe ast:6566"}, "FEATURE_STORE_URI is no address"),
        ({"FEATURE_STORE_URI": "http://feast..eu"}, "FEATURE_STORE_URI is no address"),
        ({"FEATURE_STORE_URI": f"http://{'a' * 64}.eu"}, "FEATURE_STORE_URI is no address"),
        ({"FEATURE_STORE_URI": "http://feast:6566/?v=1"}, "without . and #"),
        ({"FEATURE_STORE_TOKEN": "pass\nword"}, "FEATURE_STORE_TOKEN holds"),
        ({"FEATURE_STORE_TOKEN": "pässword"}, "FEATURE_STORE_TOKEN holds"),
        ({"CHURN_LOG": "~/decisions.db"}, "CHURN_LOG holds '~', which only a shell"),
        ({"CHURN_LOG": "sqlite:///~churn/decisions.db"}, "CHURN_LOG holds '~churn'"),
        ({"CHURN_LOG": "$HOME/decisions.db"}, r"CHURN_LOG holds '\$HOME'"),
        ({"CHURN_LOG": "/srv/${NAME}.db"}, r"CHURN_LOG holds '\$\{NAME\}'"),
        ({"CHURN_LOG": "%(here)s/decisions.db"}, r"CHURN_LOG holds"),
        ({"CHURN_SEED_SHARE": "2"}, "CHURN_SEED_SHARE is '2'"),
    ],
)
def test_settings_that_are_not_safe_are_refused(environ: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read(environ)


def test_what_looks_alike_and_is_fine_is_not_refused() -> None:
    """Line breaks at the end come from files."""
    for path in ("/srv/a~1/$.db", "a$b.db", "/srv/price$list/d.db", "x/~y.db", "50%.db"):
        assert read({"CHURN_LOG": path}).log == path
    for address in ("http://feast:6566/", "https://[::1]:6566", "http://my_feast.internal/base"):
        settings = read({"FEATURE_STORE_URI": f"{address}\n", "FEATURE_STORE_TOKEN": "a-b_c=\r\n"})
        assert settings.feature_store == address
        assert settings.feature_token.get_secret_value() == "a-b_c="


def test_a_refusal_never_shows_a_hash_or_an_address_with_its_password() -> None:
    secret = "postgresql://user:hunter2@db/log"
    with pytest.raises(SettingsError) as caught:
        read({"CHURN_PROFILE": "us", "DATABASE_URL": secret, "CHURN_KEYS": LINE})
    assert "hunter2" not in str(caught.value)
    assert LINE.split(":")[2] not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"CHURN_PROFILE": "eu", "CHURN_KEYS": ""}, 2, "does not start without keys"),
        ({"CHURN_PROFILE": "eu"}, 1, "may not be served in profile eu"),
        ({"CHURN_LOG": "/proc/nowhere/decisions.db"}, 1, "decision log"),
        (
            {"CHURN_LOG": "postgresql://user:hunter2@127.0.0.1:1/log"},
            1,
            "decision log in PostgreSQL",
        ),
    ],
)
def test_the_program_ends_with_one_line_and_a_code(
    tmp_path: Path, change: dict[str, str], code: int, says: str
) -> None:
    given = environment(write_bundle(tmp_path / "bundle"), str(tmp_path / "decisions.db"), **change)
    ended = subprocess.run(
        [sys.executable, "-m", "sovereign_ml.service"],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert says in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr


RUNTIME_HALF = {
    *("bundle", "card", "decision_log", "decisions", "egress", "jurisdictions", "model", "service"),
    *("errors", "texts"),
}


def test_the_service_loads_nothing_of_the_trainer(tmp_path: Path) -> None:
    given = environment(write_bundle(tmp_path / "bundle"), str(tmp_path / "decisions.db"))
    program = "import sys, service, sovereign_ml.service.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True
    )
    modules = loaded.stdout.split()
    heavy = {"pandas", "sklearn", "feast", "mlflow", "duckdb", "scipy", "churn", "fastapi"}
    assert (heavy | {"psycopg", "pyarrow"}) & {name.partition(".")[0] for name in modules} == set()
    wings = {name.split(".")[1] for name in modules if name.startswith("sovereign_ml.")}
    assert wings - RUNTIME_HALF == set()


def test_telemetry_is_off_before_bentoml_is_imported(tmp_path: Path) -> None:
    given = environment(write_bundle(tmp_path / "bundle"), str(tmp_path / "decisions.db"))
    program = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "bentoml":
            print(os.environ["BENTOML_DO_NOT_TRACK"])

sys.meta_path.insert(0, Watch())
import service
"""
    switch = subprocess.run(
        [sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True
    )
    assert switch.stdout.strip() == "True"


def test_old_features_are_answered_in_the_profile_local_alone() -> None:
    assert read({"CHURN_OLD_FEATURES": "allow"}).old_features == "allow"
    assert read({}).old_features == "refuse"
    environ = {"CHURN_PROFILE": "eu", "CHURN_KEYS": LINE, "CHURN_LOG": "decisions.db"}
    assert read(environ).old_features == "refuse"
    with pytest.raises(SettingsError, match="CHURN_OLD_FEATURES is allow: only profile local"):
        read({**environ, "CHURN_OLD_FEATURES": "allow"})
    with pytest.raises(SettingsError, match=r"CHURN_OLD_FEATURES: .*'refuse' or 'allow'"):
        read({"CHURN_OLD_FEATURES": "yes"})

"""config.toml, profile and environment: one line for every mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from small_project import KEY, configure, load
from sovereign_ml.config import config_file
from sovereign_ml.config import settings as configuration
from sovereign_ml.errors import Misuse

New = Callable[..., Path]
OWN = {
    "pipeline.image": "registry.acme.eu/churn@sha256:" + "1" * 64,
    "profile.eu.tracking_uri": "https://mlflow.acme.eu",
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.knotts": 6}, "config.toml has no key 'train.knotts'. Did you mean 'knots'?"),
        (
            {"validate.max_rejects": 0.1},
            "no key 'validate.max_rejects'. Did you mean 'max_rejected_share'?",
        ),
        ({"features.zzz": 1}, "no key 'features.zzz'. Known there: cutoffs"),
        ({"zzz.a": 1}, "config.toml has no key 'zzz'. Known there:"),
        ({"train.knots": 1}, "train.knots is 1: input should be greater than or equal to 2"),
        ({"validate.max_rejected_share": 2}, "validate.max_rejected_share is 2"),
        ({"data.rates.USD": -1.0}, "data.rates.USD is -1.0"),
        ({"data.lawful_basis": "because"}, "data.lawful_basis is 'because'"),
        ({"score.action_band": "huge"}, "action_band must be one of low, medium, high"),
        ({"features.every_days": 29}, "every_days must be at least horizon_days"),
        ({"score.bands": {"high": 1.0}}, "should have at least 2 items"),
        ({"score.bands": {"low": 0.5, "high": 0.9}}, "must rise and end at 1"),
        ({"evaluate.groups": ["religion"]}, "evaluate.groups.0 is 'religion'"),
        ({"monitor.early_days": [3]}, "give whole weeks"),
        ({"monitor.alarm.webhook": "https://me:pw@acme.eu"}, "without a user or password"),
        ({"monitor.alarm.smtp": "smtp.acme.eu:587"}, "smtp and email_to go together"),
        ({"monitor.alarm.smtp": "smtp.acme.eu:99999"}, "write host:port"),
        ({"register.max_brier_share": float("inf")}, "register.max_brier_share is inf"),
        ({"register.calibration_slope": [0.7, float("inf")]}, "calibration_slope.1 is inf"),
        ({"monitor.feature_shift": float("inf")}, "monitor.feature_shift is inf"),
        ({"data.rates.USD": float("inf")}, "data.rates.USD is inf"),
        ({"data": "sales.csv"}, "data is 'sales.csv': it has to be a table, [data]"),
        ({"project": "acme"}, "project is 'acme': it has to be a table"),
        ({"profile.local": 1}, "profile.local is 1: it has to be a table"),
        ({"data.reader": "utf-8"}, "data.reader is 'utf-8'"),
        ({"data.synthetic": "many"}, "data.synthetic is 'many'"),
        ({"retention.raw.period": "P3000Y"}, "begins before the year 1"),
        ({"retention.raw.period": "P99999999999D"}, "begins before the year 1"),
        *(
            ({"retention.decisions.period": period}, "is no time at all: write one day")
            for period in ("P0D", "P0M", "P00Y", "P0Y0M0W0D", "P٠D")
        ),
    ],
)
def test_a_wrong_key_or_value_gets_one_line_that_names_it(
    new_project: New, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Misuse) as refused:
        load(new_project(changes))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["# Müller".encode("latin-1"), b"\xef\xbb\xbf", b"\xff\xfea\0"])
def test_a_config_that_is_not_plain_utf_8_gets_one_line(new_project: New, content: bytes) -> None:
    path = new_project() / "config.toml"
    path.write_bytes(content + b"\n" + path.read_bytes())
    with pytest.raises(
        Misuse, match=r"save it as UTF-8 without a byte order mark|Save it as UTF-8"
    ):
        load(path.parent)


def test_an_event_table_with_a_reader_that_is_no_table_gets_one_line(new_project: New) -> None:
    table = {"file": "t.csv", "customer_id": "c", "event_time": "t", "reader": "utf-8"}
    with pytest.raises(Misuse, match=r"data\.events\.tickets\.reader is 'utf-8'"):
        load(new_project({"data.events.tickets": table}))


def test_an_empty_variable_counts_as_not_set(new_project: New) -> None:
    root = new_project()
    environ = {"CHURN_PROFILE": "", "CHURN_SYNTHETIC_CUSTOMERS": ""}
    assert configuration.load(None, root, environ).profile_name == "local"
    with pytest.raises(Misuse, match=r"synthetic\.customers is '²'"):
        configuration.load(None, root, {"CHURN_SYNTHETIC_CUSTOMERS": "²"})


def test_an_unknown_profile_is_told_which_exist(new_project: New) -> None:
    with pytest.raises(Misuse, match=r"^Unknown profile 'us': config\.toml defines eu, local\.$"):
        load(new_project(), "us")


def test_a_key_that_one_profile_lacks_is_an_error(new_project: New) -> None:
    root = new_project()
    text = (root / "config.toml").read_text()
    (root / "config.toml").write_text(text.replace('runner = "kubeflow"\n', ""))
    with pytest.raises(Misuse, match=r"\[profile\.eu\] in config\.toml lacks runner"):
        load(root)


def test_a_placeholder_warns_in_local_and_is_refused_in_eu(new_project: New) -> None:
    root = new_project()
    assert "pipeline.image" in load(root, "local").placeholders
    with pytest.raises(Misuse, match=r"Profile 'eu' still holds example values: pipeline\.image"):
        load(root, "eu")


def test_eu_loads_once_the_example_values_are_replaced(new_project: New) -> None:
    found = load(new_project(OWN), "eu")
    assert (found.profile_name, found.profile.runner) == ("eu", "kubeflow")
    assert found.rule_policy.open_answers == "block"


def test_open_answers_only_warn_in_local(new_project: New) -> None:
    assert load(new_project()).rule_policy.open_answers == "warn"


def test_the_profile_comes_from_the_environment_if_no_option_names_it(new_project: New) -> None:
    root = new_project(OWN)
    assert load(root, None, CHURN_PROFILE="eu").profile_name == "eu"
    assert load(root, "local", CHURN_PROFILE="eu").profile_name == "local"


def test_a_folder_without_config_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"No config.toml in .*run this in the project's folder"):
        configuration.load(None, tmp_path, {})


def test_broken_toml_names_the_line(new_project: New) -> None:
    root = new_project()
    (root / "config.toml").write_text("[project\n")
    with pytest.raises(Misuse, match=r"not valid TOML.*line 1"):
        load(root)


def test_a_missing_key_is_named(new_project: New) -> None:
    root = new_project()
    text = (root / "config.toml").read_text()
    (root / "config.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("knots"))
    )
    with pytest.raises(Misuse, match=r"^config\.toml lacks 'train\.knots'\.$"):
        load(root)


def test_settings_never_change_after_loading(new_project: New) -> None:
    with pytest.raises(Exception, match=r"frozen"):
        load(new_project()).train.knots = 9  # type: ignore[misc]


def test_another_file_for_one_call_leaves_the_synthetic_customers_out(new_project: New) -> None:
    found = load(new_project(), CHURN_DATA="lines.csv")
    assert (found.data.transactions, found.data.customers) == ("lines.csv", "")


def test_both_files_for_one_call(new_project: New) -> None:
    found = load(new_project(), CHURN_DATA="lines.csv", CHURN_CUSTOMERS_FILE="people.csv")
    assert (found.data.transactions, found.data.customers) == ("lines.csv", "people.csv")


def test_a_number_of_customers_that_is_no_number_is_named(new_project: New) -> None:
    with pytest.raises(Misuse, match=r"data.synthetic.customers is 'many'"):
        load(new_project(), CHURN_SYNTHETIC_CUSTOMERS="many")


def test_the_pseudonym_key_is_made_once_in_the_users_folder_and_never_in_the_project(
    new_project: New,
) -> None:
    root = new_project()
    found = load(root, CHURN_PSEUDONYM_KEY="")
    key = found.pseudonym_key()
    assert len(key) == 32
    assert load(root, CHURN_PSEUDONYM_KEY="").pseudonym_key() == key
    assert found.secrets.key_file.stat().st_mode & 0o777 == 0o600
    assert not found.secrets.key_file.is_relative_to(root)


@pytest.mark.parametrize(
    ("key", "said"), [("xyz", "not hexadecimal"), ("0f" * 8, "has 8 bytes; it needs at least 32")]
)
def test_a_bad_pseudonym_key_is_refused_without_repeating_it(
    new_project: New, key: str, said: str
) -> None:
    with pytest.raises(Misuse, match=said) as refused:
        load(new_project(), CHURN_PSEUDONYM_KEY=key).pseudonym_key()
    assert key not in str(refused.value)


@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": ".", "XDG_CONFIG_HOME": "x"}])
def test_without_a_home_the_key_is_never_in_the_project(
    new_project: New, monkeypatch: pytest.MonkeyPatch, home: dict[str, str], unknown: bool
) -> None:
    root = new_project()
    monkeypatch.delenv("HOME")
    monkeypatch.chdir(root)
    if unknown:

        def nobody(_: int) -> None:
            raise KeyError("getpwuid(): uid not found")

        monkeypatch.setattr("pwd.getpwuid", nobody)
    file = configuration.load(None, root, home).secrets.key_file
    assert file.is_absolute() and not file.is_relative_to(root)
    assert unknown == (file == Path("/nonexistent/churn/acme-churn.key"))


def test_a_key_file_that_others_can_read_is_refused(new_project: New) -> None:
    found = load(new_project(), CHURN_PSEUDONYM_KEY="")
    found.pseudonym_key()
    found.secrets.key_file.chmod(0o644)
    with pytest.raises(Misuse, match=r"Others can read the pseudonym key .*chmod 600"):
        found.pseudonym_key()


def test_a_key_that_cannot_be_made_names_the_variable_to_set(
    new_project: New, tmp_path: Path
) -> None:
    no_folder = tmp_path / "file"
    no_folder.write_text("")
    found = load(new_project(), CHURN_PSEUDONYM_KEY="", XDG_CONFIG_HOME=str(no_folder))
    with pytest.raises(Misuse, match=r"neither read nor made .*: set CHURN_PSEUDONYM_KEY"):
        found.pseudonym_key()


def test_eu_never_makes_a_key_by_itself(new_project: New) -> None:
    with pytest.raises(Misuse, match=r"No pseudonym key: set CHURN_PSEUDONYM_KEY"):
        load(new_project(OWN), "eu", CHURN_PSEUDONYM_KEY="").pseudonym_key()


def test_secrets_do_not_show_when_settings_are_printed(new_project: New) -> None:
    assert KEY not in repr(load(new_project()))


def test_the_contact_threshold_is_the_lower_end_of_the_action_band(new_project: New) -> None:
    root = new_project()
    assert load(root).score.action_threshold == 0.7
    configure(root, {"score.action_band": "low"})
    assert load(root).score.action_threshold == 0.0


def test_whether_old_features_are_scored_is_asked_by_the_call_alone(new_project: New) -> None:
    root = new_project()
    assert not load(root).old_features_asked
    assert not load(root, CHURN_OLD_FEATURES="refuse").old_features_asked
    assert load(root, CHURN_OLD_FEATURES="allow").old_features_asked
    with pytest.raises(Misuse, match=r"CHURN_OLD_FEATURES is '1': it may be allow or refuse\."):
        load(root, CHURN_OLD_FEATURES="1")


def test_a_secret_of_a_file_is_taken_without_its_line_break() -> None:
    """The service and the feature server beside it read the same token."""
    for value, taken in (("a b\r\n", "a b"), ("\n", None), ("", None), (" a ", " a ")):
        secrets = config_file.secrets_of({}, "local", {"FEATURE_STORE_TOKEN": value})
        assert secrets["feature_token"] == taken

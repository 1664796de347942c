"""`churn check --project`: a project that is looked after has no finding, and each neglect has one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_project import PROJECT, configure, rendered
from sovereign_ml.cli.main import application
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.config.tables import RegisterSettings, UpkeepSettings, ValidateSettings
from sovereign_ml.egress import guard
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.jurisdictions import providers
from sovereign_ml.registry import signatures
from sovereign_ml.supply_chain.upgrade import vendored
from sovereign_ml.supply_chain.wheel import unpack
from sovereign_ml.upkeep import UpkeepFinding, examine, listed, overview
from sovereign_ml.upkeep.checks import CHECKS
from sovereign_ml.upkeep.gates import looser
from sovereign_ml.upkeep.state import ProjectState, release_day

WHEEL = vendored(PROJECT)
VERSION = WHEEL.name.split("-")[1]
RELEASED = release_day(VERSION) or date.max
DAY = max(RELEASED, *(provider.checked for provider in providers()))
"""The day of the project's first commit."""
TODAY = DAY + timedelta(days=5)
COMMIT = "ab" * 20
SIGNER = "ada@acme.example"
OWN = {
    "https://mlflow.example.eu": "https://mlflow.acme.test",
    "registry.example.eu/": "registry.acme.test/",
    "0" * 64: "1" * 64,
    "example.eu": "acme.test",
}
Change = Callable[[Path], object]


def git(root: Path, *arguments: str, day: date = DAY) -> str:
    when = f"{day}T12:00:00+00:00"
    who = ("-c", "user.name=Ada Lovelace", "-c", f"user.email={SIGNER}")
    done = subprocess.run(
        ["git", *who, "-c", "commit.gpgsign=false", "-C", str(root), *arguments],
        env={"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(root: Path, day: date = DAY) -> None:
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "State", day=day)


def lock(*packages: str, library: str = VERSION) -> str:
    pins = (f"sovereign-ml=={library}", *packages)
    return "".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in pins)


FIRST = lock("one==1", "two==1", "three==1")
MANY = lock(*(f"p{number}==1" for number in range(40)))


@pytest.fixture(scope="module")
def looked_after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("upkeep") / "acme-churn"
    for name in ("config.toml", "model_card.toml", "documents.toml"):
        text = rendered((PROJECT / name).read_text(encoding="utf-8"))
        for example, own in OWN.items():
            text = text.replace(example, own)
        due = f'review_due = "{TODAY + timedelta(days=300)}"'
        text = text.replace('review_due = "?"', due)
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    files = {
        "requirements/train.lock": FIRST,
        "requirements/uv.lock": lock("uv==1").partition("\n    --hash")[2].partition("\n")[2],
        "governance/retention.json": json.dumps({"at": f"{DAY}T06:00:00Z", "overdue": {"raw": 0}}),
        "governance/allowed_signers": f'{SIGNER} namespaces="git" ssh-ed25519 AAAA\n',
        ".cruft.json": json.dumps({"template": "https://git.acme.test/t", "commit": COMMIT}),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "vendor").mkdir()
    shutil.copy(WHEEL, root / "vendor")
    git(root.parent, "init", "--quiet", str(root))
    commit(root)
    return root


@pytest.fixture
def root(looked_after: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(looked_after, tmp_path / "acme-churn"))


def seen(findings: list[UpkeepFinding]) -> list[str]:
    assert all(f.actual and f.allowed and f.next.endswith(".") for f in findings)
    return [f"{finding.check}: {finding.actual}" for finding in findings]


def test_a_project_that_is_looked_after_has_no_finding(looked_after: Path) -> None:
    assert seen(examine(looked_after, TODAY)) == []


def test_the_release_s_own_limits_are_those_of_the_template(looked_after: Path) -> None:
    """A gate is loosened against these: they may not drift from what a render starts with."""
    config = tomllib.loads((looked_after / "config.toml").read_text())
    for name, model in {
        "register": RegisterSettings,
        "validate": ValidateSettings,
        "upkeep": UpkeepSettings,
    }.items():
        assert model.model_validate(config[name]) == model()


@pytest.mark.parametrize(
    ("days", "checks"),
    [
        (31, set()),
        (32, {"retention"}),
        (181, {"retention", "lock", "library"}),
        (300, {"retention", "lock", "library"}),
        (
            367,
            {"retention", "lock", "library", "template", "providers", "signing", "review"},
        ),
    ],
)
def test_time_alone_makes_a_project_stale(looked_after: Path, days: int, checks: set[str]) -> None:
    findings = examine(looked_after, DAY + timedelta(days=days))
    assert {finding.check for finding in findings} == checks, seen(findings)


def write(name: str, text: str | bytes, *, committed: date | None = DAY) -> Change:
    """A file with this content; not committed for None."""

    def change(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if committed:
            commit(root, committed)

    return change


def remove(name: str) -> Change:
    def change(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        commit(root)

    return change


def edit(name: str, old: str, new: str) -> Change:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def config(**changes: object) -> Change:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return lambda root: configure(root, named)


def waiver(until: date) -> Change:
    row = f'host = "h.example"\npayload = "metadata"\nowner = "Ada"\nreason = "until the move"\nuntil = {until}\n'

    def change(root: Path) -> None:
        with (root / "config.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[[audit.waivers]]\n{row}")

    return change


def due(answer: str) -> Change:
    def change(root: Path) -> None:
        path = root / "model_card.toml"
        path.write_text(re.sub(r"review_due = .*", f"review_due = {answer}", path.read_text()))

    return change


def shallow(root: Path) -> None:
    clone = root.with_name("clone")
    git(root.parent, "clone", "--quiet", "--depth", "1", f"file://{root}", str(clone))
    shutil.rmtree(root)
    clone.rename(root)


def environment_of(guard: bytes | None) -> Change:
    """An environment of the project whose guard has these bytes; None for those of the wheel."""

    def change(root: Path) -> None:
        packages = root / ".venv/lib/python3.12/site-packages"
        for name, content in unpack(WHEEL).items():
            if name.startswith("sovereign_ml/egress/"):
                (packages / name).parent.mkdir(parents=True, exist_ok=True)
                (packages / name).write_bytes(content)
        if guard is not None:
            (packages / "sovereign_ml/egress/boot/sitecustomize.py").write_bytes(guard)

    return change


def two_wheels(root: Path) -> None:
    shutil.copy(WHEEL, root / "vendor/sovereign_ml-2026.1.0-py3-none-any.whl")


def own_index(library: str) -> Change:
    """A team without vendor/, whose lock names this release."""

    def change(root: Path) -> None:
        shutil.rmtree(root / "vendor")
        write("requirements/train.lock", FIRST.replace(f"=={VERSION}", f"=={library}"))(root)

    return change


RUN = f'{{"at": "{DAY}T06:00:00Z", "overdue": {{"raw": 7, "scores": 0}}}}'
NEGLECTED: list[tuple[Change, str]] = [
    (config(s3__endpoint="https://s3.example.internal"), "placeholder: config.toml: s3.endpoint"),
    (config(deploy__base_image="a/b@sha256:" + "0" * 64), "placeholder: config.toml: deploy.base_"),
    (config(project__contact="ml@example.eu"), "placeholder: config.toml: project.contact"),
    (
        edit("model_card.toml", "team@acme.example", "team@example.eu"),
        "placeholder: model_card.toml: roles.controller_contact",
    ),
    (write("model_card.toml", b"\xff\xfe"), "placeholder: cannot be judged: 'utf-8' codec"),
    (remove("model_card.toml"), "review: cannot be judged: model_card.toml: No such file"),
    (due(f'"{TODAY - timedelta(days=1)}"'), "review: model_card.toml: model.review_due is"),
    (due('"?"'), "review: model_card.toml: model.review_due is ?"),
    (due('"next year"'), "review: model_card.toml: model.review_due is next year"),
    (due(f"{TODAY - timedelta(days=1)}T23:00:00Z"), "review: model_card.toml: model.review_due is"),
    (due(f"{TODAY}T00:00:00Z"), ""),
    (due("true"), "review: model_card.toml: model.review_due is True"),
    (
        edit("model_card.toml", "[dpia]\n", "[dpia]\nreview_due = 2020-01-01\n"),
        "review: model_card.toml: dpia.review_due is 2020-01-01",
    ),
    (remove("requirements"), "lock: cannot be judged: there is no lock in requirements/"),
    (write("requirements/train.lock", ""), "lock: cannot be judged: train.lock: it names no"),
    (write("requirements/train.lock", "numpy>=1\n"), "lock: cannot be judged: train.lock:1"),
    (
        write("requirements/new.lock", FIRST, committed=None),
        "lock: cannot be judged: new.lock: it is not committed",
    ),
    (shallow, "lock: cannot be judged: train.lock: the history of this shallow clone"),
    (remove("vendor"), ""),
    (write("vendor/acme-1-py3-none-any.whl", ""), ""),
    (remove(f"vendor/{WHEEL.name}"), ""),
    (own_index("2026.1.0"), "library: sovereign-ml 2026.1.0 is"),
    (own_index("2999.1.0"), "library: cannot be judged: its day is 2999-01-01"),
    (own_index("1.2"), "library: cannot be judged: release 1.2 names no year and month"),
    (two_wheels, "library: cannot be judged: vendor/ should hold one wheel"),
    (write(f"vendor/{WHEEL.name}", b"PK\3\4"), f"library: cannot be judged: {WHEEL.name} is dama"),
    (remove(".cruft.json"), "template: cannot be judged: .cruft.json: No such file"),
    (write(".cruft.json", "[]"), "template: cannot be judged: list indices"),
    (write(".cruft.json", "{"), "template: cannot be judged: Expecting property name"),
    (write(".cruft.json", '{"commit": "main"}'), "template: cannot be judged: commit is 'main'"),
    (config(register__min_roc_auc=0.5), "gate: config.toml: register.min_roc_auc is 0.5"),
    (config(register__max_fairness_gap=0.3), "gate: config.toml: register.max_fairness_gap is 0.3"),
    (
        config(register__calibration_slope=[0.1, 1.4]),
        "gate: config.toml: register.calibration_slope is 0.1, 1.4",
    ),
    (config(validate__max_rejected_share=0.5), "gate: config.toml: validate.max_rejected_share"),
    (config(card__policy__max_data_age_days=200), "gate: config.toml: card.policy.max_data_age"),
    (config(card__policy__approval_roles=["legal"]), "gate: config.toml: card.policy.approval_"),
    (config(card__policy__max_objection_hours=99), "gate: config.toml: card.policy.max_objec"),
    (config(data__checks__min_recent_volume=0), "gate: config.toml: data.checks.min_recent_volume"),
    (config(data__checks__max_share_of_reason={"no_rate": 0.9}), "gate: config.toml: data.checks."),
    (config(upkeep__max_lock_age_days=9999), "gate: config.toml: upkeep.max_lock_age_days is 9999"),
    (config(upkeep__max_lock_age_days="long"), "lock: cannot be judged: 1 validation error"),
    (config(audit__exclude=["tests/*", "docs/*", "src/*"]), "gate: config.toml: audit.exclude is"),
    (config(audit__allow__personal_data=["US"]), "gate: config.toml: audit.allow.personal_data is"),
    (config(audit__allow__personal_data=["MOON"]), "gate: cannot be judged: 1 validation error"),
    (waiver(TODAY - timedelta(days=1)), "gate: config.toml: audit.waivers has h.example for met"),
    (waiver(TODAY), ""),
    (waiver(TODAY + timedelta(days=366)), ""),
    (waiver(TODAY + timedelta(days=367)), "gate: config.toml: audit.waivers has h.example for met"),
    (remove("governance/retention.json"), ""),
    (write("governance/retention.json", RUN), "retention: overdue and left: 7 of raw"),
    (write("governance/retention.json", "{}"), "retention: cannot be judged: /"),
    (environment_of(None), ""),
    (environment_of(b""), "guard: egress guard: .venv has another sovereign_ml/egress/boot/site"),
    (write(".venv/pyvenv.cfg", ""), "guard: egress guard: .venv has no sovereign_ml/egress/"),
    (remove("governance/allowed_signers"), "signing: cannot be judged: governance/allowed_signers"),
    (lambda root: shutil.rmtree(root / ".git"), "signing: cannot be judged: fatal: not a git"),
]


@pytest.mark.parametrize(("neglect", "expected"), NEGLECTED)
def test_each_neglect_is_one_line_and_what_cannot_be_read_is_never_fine(
    root: Path, neglect: Change, expected: str
) -> None:
    neglect(root)
    lines = seen(examine(root, TODAY))
    if expected:
        assert any(line.startswith(expected) for line in lines), lines
        assert not any("\n" in line for line in lines)
    else:
        assert lines == []


@pytest.mark.parametrize(
    ("until", "accepted"),
    [(TODAY, True), (TODAY + timedelta(366), True), (DAY, False), (TODAY + timedelta(367), False)],
)
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("register.min_roc_auc", 0.5),
        ("audit.exclude", ["tests/*", "docs/*", "samples/*"]),
        ("audit.allow.telemetry", ["EU_OWNED", "US"]),
    ],
)
def test_a_looser_gate_is_accepted_by_name_until_a_day_within_a_year(
    root: Path, setting: str, value: object, until: date, accepted: bool
) -> None:
    configure(root, {setting: value, "upkeep.accepted": {setting: until}})
    assert (seen(examine(root, TODAY)) == []) is accepted


def test_a_number_that_is_none_is_looser_than_any() -> None:
    nan = float("nan")
    assert looser("max_brier_share", nan, 1.0)
    assert looser("min_roc_auc", nan, 0.65)
    assert looser("calibration_slope", (nan, 1.4), (0.7, 1.4))
    assert looser("max_brier_share", float("inf"), 1.0)


@pytest.mark.parametrize(
    ("name", "text", "is_younger"),
    [
        ("train", FIRST.replace(VERSION, "2999.1.0"), False),
        ("train", FIRST.replace("one==1", "one==2"), False),
        ("train", FIRST + "# a remark\n", False),
        ("train", MANY.replace("p1==1", "p1==2").replace("p2==1", "p2==2"), False),
        ("train", MANY.replace("p1==1", "p1==2").replace("p2==1", "q==1"), True),
        ("train", FIRST.replace("==1", "==2"), True),
        ("uv", lock("uv==2"), True),
    ],
)
def test_a_lock_is_as_old_as_its_packages_whatever_is_committed(
    root: Path, name: str, text: str, is_younger: bool
) -> None:
    later = DAY + timedelta(days=150)
    if len(text) > len(FIRST) * 2:
        write("requirements/train.lock", MANY, committed=DAY)(root)
    write(f"requirements/{name}.lock", text, committed=later)(root)
    lines = seen(examine(root, later + timedelta(days=60)))
    assert any(f"{name}.lock has packages of" in line for line in lines) is not is_younger, lines


@pytest.mark.parametrize("between", [FIRST.replace("==1", "==2"), "damaged", None])
def test_an_update_that_was_taken_back_makes_nothing_younger(
    root: Path, between: str | None
) -> None:
    later = DAY + timedelta(days=380)
    names = ("requirements/train.lock", ".cruft.json")
    before = {name: (root / name).read_text() for name in names}
    for name in names:
        if between is None:
            (root / name).unlink()
        else:
            (root / name).write_text(between)
    commit(root, later)
    for name, text in before.items():
        write(name, text, committed=later)(root)
    lines = seen(examine(root, later))
    assert f"lock: requirements/train.lock has packages of {RELEASED}, " in "".join(lines)
    assert f"template: .cruft.json: commit {COMMIT[:12]}, 380 days old" in lines


def test_a_rebased_commit_makes_no_lock_younger(root: Path) -> None:
    changed, later = DAY + timedelta(days=10), DAY + timedelta(days=300)
    write("requirements/train.lock", FIRST.replace("==1", "==2"), committed=changed)(root)
    git(root, "commit", "--quiet", "--amend", "--no-edit", day=later)
    assert git(root, "log", "-1", "--format=%cs %as") == f"{later} {changed}"
    lines = seen(examine(root, later))
    assert f"lock: requirements/train.lock has packages of {changed}, 290 days old" in lines


def test_a_lock_that_came_with_an_old_release_is_as_old_as_that_release(root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root.parent, "init", "--quiet", str(root))
    commit(root, DAY + timedelta(days=170))
    lines = seen(examine(root, DAY + timedelta(days=190)))
    assert f"lock: requirements/train.lock has packages of {RELEASED}, " in "".join(lines)


@pytest.mark.parametrize(("commits", "stale"), [(0, False), (2, True)])
def test_a_clone_of_the_template_says_how_far_behind(
    root: Path, tmp_path: Path, commits: int, stale: bool
) -> None:
    template = tmp_path / "template"
    git(tmp_path, "init", "--quiet", str(template))
    commit(template)
    git(template, "tag", "v1")
    taken = git(template, "rev-parse", "HEAD")
    for _ in range(commits):
        commit(template)
    write(".cruft.json", json.dumps({"commit": taken}))(root)
    old = examine(root, DAY + timedelta(days=400), template=template)
    assert any(f"{commits} commits behind" in line for line in seen(old)) is stale
    assert any(finding.check == "template" for finding in old) is stale
    assert overview(root, TODAY, template).template == f"v1, {commits} behind"
    commit(template)
    newer = git(template, "rev-parse", "HEAD")
    git(template, "reset", "--quiet", "--hard", "HEAD~1")
    write(".cruft.json", json.dumps({"commit": newer}))(root)
    behind = seen(examine(root, DAY, template=template))
    assert any("the clone of the template is older" in line for line in behind), behind
    write(".cruft.json", json.dumps({"commit": "cd" * 20}))(root)
    unknown = seen(examine(root, TODAY, template=template))
    assert any(line.startswith("template: cannot be judged") for line in unknown), unknown


def test_a_signer_who_does_nothing_for_a_year_is_named(root: Path) -> None:
    keys = (root / "governance/allowed_signers").read_text()
    fingerprint = "0A" * 20
    more = f'"bob@acme.example,b@acme.example" ssh-ed25519 AAAB\n# gpg {fingerprint} C <c@acme.example>\n'
    # git says that nobody signed this change, so the file is new in this history
    shutil.rmtree(root / ".git")
    (root / "governance/allowed_signers").write_text(keys + more)
    git(root.parent, "init", "--quiet", str(root))
    commit(root)
    commit(root, DAY + timedelta(days=200))
    lines = seen(examine(root, DAY + timedelta(days=400)))
    idle = [line.split()[1] for line in lines if "may sign" in line]
    assert idle == ["bob@acme.example", "b@acme.example", "c@acme.example"]


@pytest.mark.parametrize("longer", ["joann@acme.example", "ann@acme.example.org"])
def test_the_key_of_somebody_with_a_longer_address_is_not_that_of_the_signer(
    root: Path, longer: str
) -> None:
    shutil.rmtree(root / ".git")
    git(root.parent, "init", "--quiet", str(root))
    signers = root / "governance/allowed_signers"
    signers.write_text("ann@acme.example ssh-ed25519 AAAB\n")
    commit(root)
    signers.write_text(signers.read_text() + f"{longer} ssh-ed25519 AAAC\n")
    commit(root, DAY + timedelta(days=380))
    state = ProjectState(root, DAY + timedelta(days=400))
    with pytest.MonkeyPatch.context() as patch:
        # Its test has real keys; here nobody signed.
        patch.setattr(signatures, "is_set_up", lambda root: True)
        lines = [finding[0] for finding in CHECKS["signing"](state)]
    assert [line.split()[0] for line in lines] == ["ann@acme.example"]


def test_the_work_of_somebody_with_a_longer_address_is_not_that_of_the_signer(root: Path) -> None:
    keys = (root / "governance/allowed_signers").read_text()
    shutil.rmtree(root / ".git")
    git(root.parent, "init", "--quiet", str(root))
    (root / "governance/allowed_signers").write_text(f"{keys}ann@acme.example ssh-ed25519 AAAB\n")
    commit(root)
    joann, day = "--author=Joann <joann@acme.example>", DAY + timedelta(days=380)
    git(root, "commit", "--quiet", "--allow-empty", "--message", "Hers", joann, day=day)
    commit(root, day)
    lines = seen(examine(root, DAY + timedelta(days=400)))
    assert [line.split()[1] for line in lines if "may sign" in line] == ["ann@acme.example"], lines


def test_many_projects_make_one_table_and_a_bad_one_says_why(root: Path, tmp_path: Path) -> None:
    text = "\ufeffacme-churn  # ours\n\n#none\nnone\nacme-churn\n"
    (tmp_path / "list").write_text(text, encoding="utf-8")
    folders = listed([root], tmp_path / "list")
    assert folders == [root, tmp_path / "none"]
    good, bad = (overview(folder, TODAY) for folder in folders)
    locks = f"{(TODAY - RELEASED).days} days"
    assert good.cells()[1:] == ("acme-churn", f"{COMMIT[:12]} of {DAY}", VERSION, locks, "0")
    assert bad.error == f"No config.toml in {bad.folder}: name the folder of a project"
    with pytest.raises(Misuse, match="cannot be read"):
        listed([], tmp_path / "no list")
    (tmp_path / "list").write_text("C#-churn\n~/other\n", encoding="utf-8")
    assert listed([], tmp_path / "list") == [tmp_path / "C#-churn", Path.home() / "other"]
    (tmp_path / "list").write_text("~nobody-of-this-name/x\n", encoding="utf-8")
    with pytest.raises(Misuse, match="cannot be read"):
        listed([], tmp_path / "list")


@pytest.mark.parametrize("guarded", [True, False])
def test_the_guard_is_tried_in_a_python_that_the_running_environment_starts(
    root: Path, guarded: bool
) -> None:
    if guarded:  # the environment is put back after each test
        guard.extend_to_children(ENVIRONMENT)
    lines = seen(examine(root, TODAY, is_own=True))
    assert (
        "guard: egress guard: a Python that `churn` starts does not have it" in lines
    ) is not guarded


def test_the_command_ends_with_1_for_a_finding_and_2_for_a_wrong_call(
    root: Path, tmp_path: Path
) -> None:
    (root / ".cruft.json").unlink()
    call = partial(CliRunner().invoke, application())
    done = call(["check", "--project", str(root), "--json"])
    assert "template" in {finding["check"] for finding in json.loads(done.stdout)}
    assert isinstance(done.exception, Refused)
    both = call(["check", "--project", str(root), str(tmp_path / "none")])
    assert both.stdout.splitlines()[1].endswith("none: name the folder of a project")
    assert isinstance(both.exception, Refused)
    (tmp_path / "list").write_text(f"{root}\n", encoding="utf-8")
    table = call(["check", "--project", "--from", str(tmp_path / "list"), "--json"])
    assert [row["project"] for row in json.loads(table.stdout)] == ["acme-churn"]
    for wrong in (["none"], ["--project", "none"], ["--project", "--template", "none", str(root)]):
        assert isinstance(call(["check", *wrong]).exception, Misuse)

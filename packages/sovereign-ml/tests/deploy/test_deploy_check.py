"""The check refuses each thing that may not be sent; one test a rule, each starting from a folder that passes."""

import pytest

from desks import SIGNED, UNSIGNED, write_bundle
from sovereign_ml.deploy.check import check_staged


def rules(staged):
    return {problem.rule for problem in check_staged(staged.folder)}


def edit(staged, name, old, new):
    path = staged.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "name", ["requirements.txt", "pyproject.toml", "package.json", "next.config.js", "README.md"]
)
def test_a_file_at_the_root_that_could_win_over_the_dockerfile(staged, name):
    (staged.folder / name).write_text("")
    assert rules(staged) == {"root-files"}


def test_a_symbolic_link_to_a_file_or_a_folder(staged):
    (staged.folder / "app" / "link").symlink_to(staged.folder / "Dockerfile")
    assert rules(staged) == {"symlink"}
    (staged.folder / "app" / "link").unlink()
    (staged.folder / "app" / "link").symlink_to(staged.folder / "app" / "serve")
    assert rules(staged) == {"symlink"}


@pytest.mark.parametrize(
    "name",
    [
        *("customers.parquet", "transactions.csv", "decisions.db", "mlflow.SQLite"),
        *("customers.csv.gz", "log.SQLITE3", "features.orc", "all.jsonl.zst", "log.dump"),
    ],
)
def test_data(staged, name):
    (staged.folder / "app" / name).write_text("x")
    assert rules(staged) == {"data"}


@pytest.mark.parametrize(
    "name",
    ["model.pkl", "model.joblib", "tls.key", "cert.pem", "eu.env", "id_rsa", ".pgpass", "a.pkl.xz"],
)
def test_pickles_and_keys(staged, name):
    (staged.folder / "app" / name).write_text("x")
    assert rules(staged) == {"unsafe-file"}


@pytest.mark.parametrize("name", ["csv.py", "orders.csv.py", "keys.json", "data.json.gz", "key"])
def test_a_name_that_only_sounds_like_data_or_a_key(staged, name):
    (staged.folder / "app" / name).write_text("x")
    assert rules(staged) == set()


def test_a_file_that_the_client_would_silently_leave_out(staged):
    (staged.folder / "app" / "serve" / "audit.log").write_text("x")
    assert rules(staged) == {"ignored"}
    (staged.folder / "app" / "serve" / "audit.log").unlink()
    (staged.folder / ".sotaignore").write_text("serve\n")
    assert rules(staged) == {"ignored"}


def test_an_env_file(staged):
    (staged.folder / "app" / ".env.production").write_text("KEY=1")
    assert rules(staged) == {"unsafe-file", "ignored"}


@pytest.mark.parametrize(
    "name", ["Dockerfile", ".sotaignore", "app/serve.lock", "app/sbom.cdx.json"]
)
def test_a_missing_file(staged, name):
    (staged.folder / name).unlink()
    assert rules(staged) == {"missing"}


def test_a_missing_card(staged):
    (staged.folder / "app" / "bundle" / "card.html").unlink()
    assert rules(staged) == {"missing", "bundle"}


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("base-image", "@sha256:" + "ab" * 32, ":3.12"),
        ("placeholder", "registry.acme.test", "registry.example.eu"),
        ("placeholder", "ab" * 32, "0" * 64),
        ("user", "USER 10001:10001\n", ""),
        ("user", "USER 10001:10001", "USER 0"),
        ("user", "USER 10001:10001", "USER churn"),
        ("user", "EXPOSE 8080", "USER root\nEXPOSE 8080"),
        ("expose", "EXPOSE 8080\n", ""),
        ("expose", "EXPOSE 8080", "EXPOSE 3000"),
        ("expose", "EXPOSE 8080", "EXPOSE 8080\nEXPOSE 9090"),
        ("command", "0.0.0.0", "127.0.0.1"),
        ("command", "${PORT:-8080}", "3000"),
        ("command", '"exec python', '"python'),
        ("command", "sovereign_ml.service", "uvicorn service:app"),
        ("hashes", "--require-hashes ", ""),
        ("hashes", "--no-deps ", ""),
        ("hashes", "--find-links wheels ", ""),
        ("hashes", "--find-links wheels ", "--find-links wheels-of-others "),
        ("hashes", "EXPOSE 8080", "RUN pip install uv\nEXPOSE 8080"),
        ("hashes", "EXPOSE 8080", "RUN pip3  install uv\nEXPOSE 8080"),
        ("hashes", "EXPOSE 8080", "RUN uv sync\nEXPOSE 8080"),
        ("hashes", "EXPOSE 8080", "RUN\tpip install uv\nEXPOSE 8080"),
        ("hashes", "EXPOSE 8080", "RUN pip --no-cache-dir install uv\nEXPOSE 8080"),
        ("hashes", "EXPOSE 8080", 'RUN ["pip", "install", "uv"]\nEXPOSE 8080'),
        ("hashes", "EXPOSE 8080", "RUN <<END\npip install uv\nEND\nEXPOSE 8080"),
        ("hashes", "-r serve.lock", "-r serve.lock && pip install uv"),
        ("base-image", "EXPOSE 8080", "COPY --from=tools:latest /a /a\nEXPOSE 8080"),
        ("base-image", "RUN python -m", "RUN --mount=type=bind,from=tools,target=/t python -m"),
        ("command", "EXPOSE 8080", 'ENTRYPOINT ["python", "-m"]\nEXPOSE 8080'),
        ("profile", "CHURN_PROFILE=eu", "CHURN_PROFILE=local"),
        ("profile", "CHURN_PROFILE=eu", "OTHER=eu"),
        ("profile", "USER", "ENV CHURN_PROFILE local\nUSER"),
        ("address", "EXPOSE 8080", "RUN curl HTTPS://tools.acme.test/a\nEXPOSE 8080"),
        ("address", "EXPOSE 8080", "ADD git@git.acme.test:a/b.git /a\nEXPOSE 8080"),
        ("address", "ARG PIP_INDEX_URL", "ARG PIP_INDEX_URL=https://mirror.example.eu/simple"),
        ("address", "--no-deps", "--no-deps --index-url $PIP_INDEX_URL"),
    ],
)
def test_a_dockerfile_that(staged, rule, old, new):
    edit(staged, "Dockerfile", old, new)
    assert rules(staged) == {rule}


BASE = f"FROM registry.acme.test/python@sha256:{'ab' * 32}\n"


@pytest.mark.parametrize(
    ("rule", "instruction"), [("user", "USER"), ("expose", "EXPOSE"), ("command", "CMD")]
)
def test_what_an_earlier_stage_says_is_not_said_of_the_image(staged, rule, instruction):
    """Each stage begins with the settings of its own base image, whose user is root."""
    path = staged.folder / "Dockerfile"
    lines = path.read_text().splitlines(keepends=True)
    [line] = [line for line in lines if line.startswith(f"{instruction} ")]
    others = "".join(each for each in lines if each != line)
    path.write_text(f"{BASE}{line}{others}")
    assert rules(staged) == {rule}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FROM ", "FROM --platform=linux/amd64 "),
        ("FROM ", f"FROM registry.acme.test/tools@sha256:{'cd' * 32} AS Tools\nUSER 0\nFROM "),
        ("USER 10001:10001", "USER 10001:10001\nENTRYPOINT []"),
        ("pip install ", "pip install \\\n  # what serve.lock names\n  "),
        ("pip install ", "pip install \\  \n  "),
        ("EXPOSE", "RUN --mount=type=cache,target=/c true\nEXPOSE"),
    ],
)
def test_a_dockerfile_in_another_form_passes(staged, old, new):
    edit(staged, "Dockerfile", old, new)
    assert rules(staged) == set()


def test_stages_that_continue_each_other_are_one_image(staged):
    path = staged.folder / "Dockerfile"
    first, rest = path.read_text().split("COPY", 1)
    base = next(line for line in first.splitlines() if line.startswith("FROM"))
    path.write_text(
        f"{first.replace(base, base + ' AS Base')}USER 10001\n"
        f"FROM base AS app\nCOPY{rest.replace('USER 10001:10001', '')}"
        "COPY --from=BASE /etc/hostname /a\n"
    )
    assert rules(staged) == set()


def test_a_service_class_that_is_no_python_is_named_with_its_line(staged):
    (staged.folder / "app" / "serve" / "service.py").write_text("import json\nclass Service(\n")
    (problem,) = check_staged(staged.folder)
    assert (problem.rule, problem.path) == ("imports", "app/serve/service.py")
    assert "line 2" in problem.message
    (staged.folder / "app" / "serve" / "service.py").write_bytes(b"# M\xfcnchen\n")
    assert rules(staged) == {"imports"}


def test_a_lock_without_hash_or_with_an_index(staged):
    lock = staged.folder / "app" / "serve.lock"
    good = lock.read_text()
    lock.write_text("numpy==2.5.5\n" + good)
    assert rules(staged) == {"hashes"}
    lock.write_text("--index-url https://mirror.example.eu/simple\n" + good)
    assert rules(staged) == {"address"}


def _no_wheel(wheels):
    next(wheels.iterdir()).unlink()


def _changed(wheels):
    path = next(wheels.iterdir())
    path.write_bytes(path.read_bytes() + b"\0")


def _damaged(wheels):
    next(wheels.iterdir()).write_bytes(b"PK, but no archive")


def _second(wheels):
    path = next(wheels.iterdir())
    path.with_name("other-1.0-py3-none-any.whl").write_bytes(path.read_bytes())


def _renamed(wheels):
    path = next(wheels.iterdir())
    path.rename(path.with_name("other-1.0-py3-none-any.whl"))


def _unpinned(wheels):
    lock = wheels.parent / "serve.lock"
    text = lock.read_text()
    lock.write_text(text[: text.index("sovereign-ml==")])


@pytest.mark.parametrize("change", [_no_wheel, _changed, _damaged, _second, _renamed, _unpinned])
def test_a_library_that_is_not_the_wheel_of_the_lock(staged, change):
    change(staged.folder / "app" / "wheels")
    assert rules(staged) == {"wheel"}


@pytest.mark.parametrize("place", ["vendor", "app/vendor", "app/serve/vendor"])
def test_a_folder_that_the_client_would_drop_by_its_name(staged, place):
    (staged.folder / place).mkdir()
    assert rules(staged) == {"vendor"}
    (staged.folder / place / "readme.md").write_text("x")
    assert rules(staged) == ({"vendor", "ignored"} if place == "vendor" else {"vendor"})


def test_a_bundle_that_was_changed_or_holds_more_than_it_lists(staged):
    (staged.folder / "app" / "bundle" / "notes.md").write_text("x")
    assert rules(staged) == {"bundle"}
    (staged.folder / "app" / "bundle" / "notes.md").unlink()
    edit(staged, "app/bundle/card.html", "Card", "Card, but nicer")
    assert rules(staged) == {"bundle"}


def test_a_bundle_that_was_registered_with_warnings_only(make_stage, tmp_path):
    assert rules(make_stage(bundle=write_bundle(tmp_path / "local", profile="local"))) == {
        "serving"
    }


def test_a_bundle_whose_card_nobody_approved(make_stage, tmp_path):
    made = make_stage(bundle=write_bundle(tmp_path / "unsigned", card=UNSIGNED))
    problems = check_staged(made.folder)
    assert problems
    assert all("would not start in profile eu: R48: " in str(problem) for problem in problems)


def test_open_answers_of_a_bundles_card_are_one_line(make_stage, tmp_path):
    open_card = {**SIGNED, "answers": {}}
    made = make_stage(bundle=write_bundle(tmp_path / "open", card=open_card))
    (line,) = [str(problem) for problem in check_staged(made.folder) if "R01" in str(problem)]
    assert "sections of model_card.toml; `churn card --open` lists them" in line


@pytest.mark.parametrize(
    "code",
    [
        "import pandas\n",
        "def f():\n    from mlflow.pyfunc import load_model\n",
        "import pickle\n",
        "import sovereign_ml.cli.main\n",
        "from sovereign_ml import pipeline\n",
        "def f():\n    import churn.model\n",
    ],
)
def test_an_import_of_the_trainer_or_of_pickle(staged, code):
    (staged.folder / "app" / "serve" / "extra.py").write_text(code)
    assert rules(staged) == {"imports"}


@pytest.mark.parametrize(
    "content", ["{}", "not json", '{"project_id": "", "project_slug": "x"}', '{"project_id": "1"}']
)
def test_a_project_link_that_the_client_cannot_read(staged, content):
    (staged.folder / ".sota.json").write_text(content)
    assert rules(staged) == {"project"}


def test_more_than_fifty_megabytes(staged, monkeypatch):
    monkeypatch.setattr("sovereign_ml.deploy.check.LIMIT_BYTES", staged.packed_bytes - 1)
    assert rules(staged) == {"size"}


def test_a_problem_says_where_what_and_which_rule(staged):
    (staged.folder / "requirements.txt").write_text("")
    assert str(check_staged(staged.folder)[0]) == (
        "requirements.txt: only .sota.json, .sotaignore, Dockerfile may lie at the root [root-files]"
    )

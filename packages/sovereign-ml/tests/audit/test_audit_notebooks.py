"""Notebooks: rows, ids, addresses and secrets are found at their line; a clean one passes. Secrets in any file too."""

import subprocess
from pathlib import Path

import nbformat
import pytest

from small_project import PROJECT
from sovereign_ml.audit import AuditPolicy
from sovereign_ml.audit.notebooks import scan_notebook, scan_notebooks
from sovereign_ml.audit.secrets import scan_secrets, secrets_in, unread
from wheels import write_wheel

PACKAGE = Path(__file__).parents[2]
TABLE = "<table border='1' class='dataframe'><tr><td>anna</td><td>12.5</td></tr></table>"
PLAIN = "   customer  amount\n0  a1        12.5\n1  b2        13.5\n2  c3        14.5\n"
CSV = "anna,2026-01-01,12.5\nbert,2026-01-02,13\ncleo,2026-01-03,14\n"
PSEUDONYM = "0f" * 16


def cell(source="", output=None, stream=None, **more):
    made = nbformat.v4.new_code_cell(source, **more)
    if output:
        made.outputs = [nbformat.v4.new_output("execute_result", data=output)]
    if stream:
        made.outputs = [nbformat.v4.new_output("stream", text=stream)]
    return made


def kinds(*cells):
    text = nbformat.writes(nbformat.v4.new_notebook(cells=list(cells)))
    return [hit.kind for hit in scan_notebook("a.ipynb", text)]


CLEAN = "from churn import features\n\nframe = features.read()\nframe.describe()\nurl = 'git@codeberg.org:a/b.git'\n"


def test_a_stripped_notebook_passes():
    assert (
        kinds(cell(CLEAN), nbformat.v4.new_markdown_cell("# Look at features, one, two, three"))
        == []
    )


def test_numbers_of_an_output_are_not_card_numbers():
    assert kinds(cell("auc", {"text/plain": "0.7381234567890123"})) == []


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (cell("f", {"text/html": TABLE, "text/plain": PLAIN}), "rows of data in an output"),
        (cell("f", {"text/plain": PLAIN}), "rows of data in an output"),
        (cell("print(f)", stream=PLAIN), "rows of data in an output"),
        (cell("f", {"application/vnd.dataresource+json": {"data": []}}), "rows of data in an output"),
        (cell(f'csv = """\n{CSV}"""'), "rows of data in the source"),
        (cell("f", {"text/plain": PSEUDONYM}), "identifier of a person or record"),
        (cell("who = 'anna.muster@example.org'"), "e-mail address"),
        (cell("print(x)", stream="sent to anna.muster@example.org\n"), "e-mail address"),
        (cell("pay = 'DE89 3704 0044 0532 0130 00'"), "IBAN"),
        (cell("call('+49 30 1234567')"), "telephone number"),
        (cell("password = 'correct-horse-battery'"), "password or key"),
        (cell("connect('postgresql://user:correct-horse@db.internal/x')"), "password in an address"),
        (nbformat.v4.new_markdown_cell("![x](attachment:a)", attachments={"a": {"image/png": "AA"}}), "attachment"),
    ],
)  # fmt: skip
def test_what_must_not_be_committed_is_found(planted, kind):
    assert kind in kinds(cell(CLEAN), planted)


def test_a_hit_names_the_line_of_the_file_and_not_the_value():
    text = nbformat.writes(
        nbformat.v4.new_notebook(
            cells=[cell(CLEAN), cell("x = 1\nwho = 'anna.muster@example.org'")]
        )
    )
    (hit,) = scan_notebook("a.ipynb", text)
    assert "anna" in text.splitlines()[hit.line - 1]
    assert "anna" not in repr(hit)


def test_a_file_that_is_no_notebook_is_not_passed_over():
    assert [hit.kind for hit in scan_notebook("a.ipynb", "{broken")] == ["not a readable notebook"]


def test_only_what_git_would_commit_is_read(tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("scratch/\n")
    (tmp_path / "scratch").mkdir()
    for name in ("scratch/a.ipynb", "b.ipynb"):
        (tmp_path / name).write_text(
            nbformat.writes(nbformat.v4.new_notebook(cells=[cell("f", {"text/html": TABLE})]))
        )
    assert [hit.file for hit in scan_notebooks(tmp_path)] == ["b.ipynb"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "private key"),
        ("key = AKIA" + "A" * 16, "S3 access key"),
        ("t: ghp_" + "a1" * 18, "forge token"),
        ("SOTA_API_KEY=sota_" + "a1" * 16, "service token"),
        ("eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12, "signed token"),
        ("DATABASE_URL=postgresql://app:" + "s3cr3tpw" + "@db/x", "password in an address"),
        ("export DB_PASSWORD=" + "a1b2c3d4e5", "password or key in an environment file"),
        ('secret = "' + "a1b2c3d4e5" + '"', "password or key"),
        ('secret_key: "' + "a1b2c3d4e5" + '"', "password or key"),
        ('api_key = "' + "A1B2_C3D4E5F6" + '"', "password or key"),
    ],
)
def test_each_kind_of_secret_is_found(text, kind):
    assert kind in [found for _, found in secrets_in(f"first line\n{text}\n")]


@pytest.mark.parametrize(
    "text",
    [
        'password = "${DB_PASSWORD}"',
        "url = 'postgresql://user:***@db/x'",
        'token = os.environ["TOKEN"]',
        "api_key: SecretStr | None = None",
        "https://host:8080/path@v1",
        "key = 'example-password'",
        'secret = "churn-service"',
        'tracking_password = "MLFLOW_TRACKING_PASSWORD"',
        "update(ADMIN_PASSWORD=users[ADMINISTRATOR])",
    ],
)
def test_a_reference_to_a_secret_is_none(text):
    assert list(secrets_in(text)) == []


def test_the_project_itself_holds_no_secret_and_no_data_in_notebooks():
    for root in (PROJECT, PACKAGE):
        assert (
            scan_secrets(root, AuditPolicy().exclude) + scan_notebooks(root, AuditPolicy().exclude)
            == []
        )


WORDS = b'password = "' + b"a1b2c3d4e5" + b'"\n'
UNREAD = {
    "a wheel": write_wheel,
    "an image": b"\x89PNG\r\n\0" + WORDS,
    "UTF-16": (WORDS * 9).decode().encode("utf-16"),
    "a large table": WORDS * 50_000,
}


@pytest.mark.parametrize("content", UNREAD.values(), ids=UNREAD)
def test_a_file_that_is_no_text_is_not_searched_and_is_named(tmp_path, content):
    if callable(content):
        path = content(tmp_path / "vendor", files={"sovereign_ml/rules.py": WORDS})
    else:
        path = tmp_path / "file"
        path.write_bytes(content)
    assert scan_secrets(tmp_path) == []
    assert unread(tmp_path) == [path.relative_to(tmp_path).as_posix()]
    assert unread(tmp_path, ["vendor/*", "file"]) == []


@pytest.mark.parametrize(
    "before", [b"", b"\xff\xfe", b"a" * 9000 + b"\0\n", "é\n".encode("latin-1")]
)
def test_a_text_with_odd_bytes_is_searched(tmp_path, before):
    (tmp_path / "notes.txt").write_bytes(before + WORDS)
    assert [hit.kind for hit in scan_secrets(tmp_path)] == ["password or key"]
    assert unread(tmp_path) == []


def test_a_secret_in_a_committed_file_is_found_with_its_line(tmp_path):
    (tmp_path / "config.toml").write_text('[x]\npassword = "' + "a1b2c3d4e5" + '"\n')
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.py").write_text('password = "' + "a1b2c3d4e5" + '"\n')
    (hit,) = scan_secrets(tmp_path, exclude=("tests/*",))
    assert (hit.file, hit.line, hit.kind) == ("config.toml", 2, "password or key")

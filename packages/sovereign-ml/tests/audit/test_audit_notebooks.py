"""Notebooks: rows, ids, addresses and secrets are found at their line; a clean one passes. Secrets in any file too."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest

from secret_corpus import corpus, measured, ours
from small_project import PROJECT
from sovereign_ml.audit import AuditPolicy
from sovereign_ml.audit.notebooks import STRIP, scan_notebook, scan_notebooks
from sovereign_ml.audit.secrets import scan_secrets, secrets_in, unread
from sovereign_ml.errors import Misuse
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
        (cell("f", {"text/html": TABLE, "text/plain": PLAIN}), STRIP),
        (cell("f", {"text/plain": PLAIN}), STRIP),
        (cell("print(f)", stream=PLAIN), STRIP),
        (cell("f", {"application/vnd.dataresource+json": {"data": []}}), STRIP),
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


PERSON = "{'user_id': 12345, 'amount': 12.5}"
FORMS = {
    "the box of DuckDB": cell("f", stream="┌────┬────┐\n│ a1 │ 12 │\n└────┴────┘"),
    "polars": cell("f", {"text/plain": "shape: (1, 2)\n│ a ┆ b │"}),
    "Spark": cell("f", stream="+--+--+\n|id|n|\n| 1|2|"),
    "pandas with a string index": cell("f", {"text/plain": "      amount\nanna  12.5\nbert  13.5\ncleo  1"}),
    "pandas with dates, short": cell("f", {"text/plain": "2026-01-01  12.5"}),
    "a list of records": cell("f", {"text/plain": "[{'a': 1, 'b': 2}]"}),
    "one record": cell("f", {"text/plain": PERSON}),
    "one row": cell("f", {"text/plain": "Row(user='a', amount=12)"}),
    "tuples": cell("f", stream="('anna', 12.5)"),
    "a Markdown output": cell("f", {"text/markdown": "|a|b|\n|-|-|\n|1|2|"}),
    "Vega-Lite": cell("f", {"application/vnd.vegalite.v5+json": {"data": {}}}),
    "Plotly": cell("f", {"application/vnd.plotly.v1+json": {"data": []}}),
    "JavaScript": cell("f", {"application/javascript": "x=1"}),
    "SVG": cell("f", {"image/svg+xml": "<svg/>"}),
    "an HTML list": cell("f", {"text/html": "<ul><li>anna</li></ul>"}),
    "LaTeX": cell("f", {"text/latex": "a & b"}),
    "widget": cell("f", {"application/vnd.jupyter.widget-view+json": {}}),
    "a table in a text cell": nbformat.v4.new_markdown_cell("|who|n|\n|--|--|\n|anna|12|\n|bert|13|"),
    "a DataFrame literal": cell("f = pd.DataFrame({'who': ['anna', 'bert'], 'n': [1, 2]})"),
    "a record in the source": cell(f"row = {PERSON}"),
    "records in the source": cell("rows = [{'a': 1, 'b': 2}, {'a': 3, 'b': 4}]"),
    "tuples in the source": cell("rows = [('anna', 12), ('bert', 13)]"),
    "JSON in the source": cell("x = '[{\"a\": 1, \"b\": 2}, {\"a\": 3, \"b\": 4}]'"),
    "SQL": cell("db.sql(\"INSERT INTO t VALUES ('anna', 12)\")"),
    "quoted CSV": cell('x = """\n"anna","2026-01-01","12"\n"bert","2026-01-02","13"\n"""'),
    "two rows": cell('x = """\nanna,2026-01-01,12\nbert,2026-01-02,13\n"""'),
    "a national number": cell("# call 0170 1234567"),
    "an address": cell("# lives at Hauptstraße 12"),
    "SQL filter": cell("db.sql(\"select * from t WHERE user_id = '12345'\")"),
    "pandas filter": cell("f[f['customer_id'] == 'a17']"),
    "attribute filter": cell("f[f.clientId == 4711]"),
    "query": cell('f.query("account_no == 4711")'),
    "a list of people": cell("f[f.user_id.isin] ; sql = 'user_id in (12, 13)'"),
    "call": cell("service.score(user_id='4711')"),
    "dict of lists": cell("d = {'name': ['Anna', 'Bert'], 'amount': [12.5, 13.0]}"),
    "from_records": cell("pd.DataFrame.from_records([('Anna', 1), ('Bert', 2)])"),
    "polars in the source": cell("pl.DataFrame({'who': ['anna', 'bert']})"),
    "np.array strings": cell("np.array([['anna', 12], ['bert', 13]])"),
    "StringIO": cell('pd.read_csv(io.StringIO("who;n\\nanna;12\\nbert;13\\n"))'),
    "json lines": cell("s = '''{\"who\": \"anna\", \"n\": 1}\n{\"who\": \"bert\", \"n\": 2}'''"),
    "namedtuple": cell("rows = [Customer(id=1, name='Anna'), Customer(id=2, name='Bert')]"),
    "dict by id": cell("scores = {'4711': 0.83, '4712': 0.11, '4713': 0.5}"),
    "list of ids": cell("ids = ['a81f-22', 'a81f-23', 'a81f-24', 'a81f-25']"),
    "list of emails": cell("x = ['a@b.de', 'c@d.de']"),
    "numbers of customers": cell("drop = [10023881, 10023882, 10023883]"),
    "loc": cell("df.loc[df.customer_id == 10023881]"),
    "loc label": cell("df.loc['CUST-0012']"),
    "query f": cell("df.query('customer_id == \"C-12\"')"),
    "isin": cell("df[df.customer_id.isin(['C1', 'C2'])]"),
    "isin2": cell("df[df['user_id'].isin([12, 13])]"),
    "polars filter": cell("df.filter(pl.col('user_id') == 12)"),
    "spark": cell("df.where(F.col('customer_id') == 'C-12').show()"),
    "spark str": cell("df.filter(\"customer_id = 'C-12'\")"),
    "sql like": cell("%%sql\nselect * from t where email like 'anna%'"),
    "sql between": cell("%%sql\nselect * from t where customer_id between 12 and 12"),
    "sql magic": cell("%sql select * from c where kundennr = 4711"),
    "shap": cell("shap.force_plot(explainer, X.loc[10023881])"),
    "explain": cell("explain(customer_id='10023881')"),
    "explain pos": cell("predict_customer('C-10023881')"),
    "md para": nbformat.v4.new_markdown_cell("Customer 10023881 (Anna Muster, +49 170 1234567) complained."),
    "md iban": nbformat.v4.new_markdown_cell("DE89370400440532013000"),
    "md table strings": nbformat.v4.new_markdown_cell("|who|city|\n|--|--|\n|Anna Muster|Bonn|\n|Bert Klein|Köln|"),
    "html table in md": nbformat.v4.new_markdown_cell("<table><tr><td>anna</td><td>12</td></tr></table>"),
    "raw cell": nbformat.v4.new_raw_cell("anna,2026-01-01,12.5\nbert,2026-01-02,13\n"),
    "svg in md": nbformat.v4.new_markdown_cell("<img src='data:image/png;base64,AAAA'>"),
    "series": cell("s", {"text/plain": "customer_id\nC1    0.9\nName: score, dtype: float64"}),
    "one series row": cell("s", {"text/plain": "id        C-12\nscore     0.83"}),
    "dict out": cell("s", {"text/plain": "{'C-12': 0.83}"}),
    "np out": cell("s", {"text/plain": "array(['anna', 'bert'], dtype=object)"}),
    "list out": cell("s", {"text/plain": "['C-12', 'C-13']"}),
    "str out": cell("s", {"text/plain": "'anna.muster@acme.de'"}),
    "tuple out": cell("s", {"text/plain": "('C-12', 0.83)"}),
    "json out": cell("s", {"application/json":{"a":1},"text/plain": "<JSON>"}),
    "geo": cell("s", {"application/geo+json":{},"text/plain": "<G>"}),
    "pdf": cell("s", {"application/pdf": "AAA", "text/plain": "<p>"}),
    "stream row": cell("s", stream="anna 2026-01-01 12.5\n"),
    "stream kv": cell("s", stream="customer_id: C-12, score: 0.83\n"),
    "stream csv": cell("s", stream="C-12;0.83;high\n"),
    "eq": cell("df.loc[df['client_id'].eq('C-12')]"),
    "contains": cell("df[df['last_name'].str.contains('Muster')]"),
    "a full name": cell("df[df.name == 'Anna Muster']"),
    "a name of its own": cell("customer = 'C-10023881'"),
    "a number of its own": cell("SUBJECT = 10023881"),
    "taken by key": cell("x = customers['C-10023']"),
    "a set of ids": cell("ids = {10023881, 10023882, 10023883}"),
    "two columns": cell("x = '''id,name\n1,Anna\n2,Bert\n3,Cleo'''"),
    "one id": cell("s", stream="C-10023881\n"),
    "a sentence": cell("s", stream="customer C-10023 has score 0.9\n"),
    "full names": cell("x = ['Anna Muster', 'Bert Klein']"),
    "full names, last first": cell("x = {'Muster, Anna', 'Klein, Bert'}"),
    "full names as lines": cell("x = \"\"\"\nAnna Muster\nDr. Bert von Klein\n\"\"\""),
    "full names in calls": cell("call('Anna-Maria Muster')\ncall('Bert K. Klein')"),
    "customers by name": cell("customers = ['Zoltan Kovacs', 'Ayse Yilmaz']"),
    "a column of clients": cell("frame['client_name'] = ['Zoltan Kovacs', 'Ayse Yilmaz']"),
    "full names in a text cell": nbformat.v4.new_markdown_cell("- Anna Muster\n- Bert Klein"),
    "stderr": cell("s", stream="WARNING row {'customer_id': 'C-12', 'x': 1} invalid\n"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_rows_and_people_are_found_in_whatever_form_they_stay(form):
    assert kinds(FORMS[form]) != []


def test_an_error_that_prints_a_record_and_the_state_of_widgets_are_found():
    broken = cell("f")
    broken.outputs = [
        nbformat.v4.new_output("error", ename="KeyError", evalue=PERSON, traceback=[])
    ]
    assert kinds(broken) == ["rows of data in an output"]
    text = '{"cells": [], "metadata": {"widgets": {"state": {}}}}'
    assert [hit.kind for hit in scan_notebook("a.ipynb", text)] == ["state of widgets"]


HARMLESS = {
    "ticks": cell("plt.xticks([0, 1, 2], ['low', 'mid', 'high'])"),
    "a count of people": cell("customer_count = 12000\nn_users = 50000\nmax_customer_rows = 200000"),
    "names of columns": cell("df['customer_id']\nusers['id']\ncustomers['amount_30d']"),
    "an encoding": cell("s", stream="read as ISO-8859-1\n"),
    "an import list": cell("from churn import (\n    a1,\n    b2,\n    c3,\n)"),
    "a list of numbers": cell("x = [\n    1.5,\n    2.5,\n    3.5,\n]\ny = [1, 2, 3]"),
    "a picture": cell("plot()", {"image/png": "AAAA", "text/plain": "<Figure size 640x480 with 1 Axes>"}),
    "a number": cell("auc", {"text/plain": "0.7381"}),
    "a run": cell("run", stream="run id " + "0f" * 16),
    "a time stamp and an account": cell("x", stream="1003 2022-08-08 18"),
    "a version": cell("x = 'python@3.12/3.12.11'"),
    "a filter on a variable": cell("f[f.user_id == chosen]\nsql = 'WHERE user_id = ?'"),
    "parameters": cell("model.fit(x, y, depth=3)\np = {'depth': 3, 'rate': 0.1}"),
    "columns": cell("f = f[['user_id', 'amount']].rename(columns={'user_id': 'who'})"[:34]),
    "imports": cell("import pandas as pd\nimport numpy as np\nfrom churn import a, b, c"),
    "params": cell("param_grid = {'depth': [3, 4, 5], 'rate': [0.1, 0.2]}"),
    "a list of columns": cell("cols = ['customer_id', 'amount', 'recency_days']"),
    "cat": cell("order = ['low', 'medium', 'high']\nlabels = ['yes', 'no']"),
    "rename": cell("df.rename(columns={'customer_id': 'customer', 'amount': 'value'})"),
    "agg": cell("df.groupby('customer_id').agg({'amount': 'sum', 'day': 'max'})"),
    "figsize": cell("plt.subplots(2, 2, figsize=(12, 8))\nplt.xlim((0, 1))"),
    "style": cell("plt.plot(x, y, color='red', marker='o', label='model')"),
    "var filter": cell("df[df.customer_id == customer_id]"),
    "isin var": cell("df[df.customer_id.isin(ids)]"),
    "not null": cell("df[df.customer_id.notna()]\nsql = 'where customer_id is not null'"),
    "join": cell("sql = 'select a.x from a join b on a.customer_id = b.customer_id where day = 3'"),
    "param sql": cell("sql = 'where customer_id = :id'\nsql2 = 'where customer_id = %s'"),
    "bins": cell("bins = [0, 10, 20, 50, 100]\nq = np.linspace(0, 1, 11)"),
    "matrix": cell("m = [[1, 0], [0, 1]]"),
    "seeds": cell("seeds = [1, 2, 3]\nrandom_state=20240101"),
    "dates": cell("start, end = '2026-01-01', '2026-02-01'"),
    "dtype": cell("dtypes = {'customer_id': 'string', 'amount': 'float64'}"),
    "thresholds": cell("for t in (0.3, 0.5, 0.7):\n    print(t)"),
    "md list": nbformat.v4.new_markdown_cell("- one, two, three\n- four, five, six\n\n1. first, second"),
    "md table": nbformat.v4.new_markdown_cell("|metric|value|\n|--|--|\n|AUC|0.83|"),
    "md text": nbformat.v4.new_markdown_cell("We use 12,000 rows from 2026-01-01 to 2026-06-30, see section 3.2."),
    "fig": cell("plot()", {"image/png": "AAAA", "text/plain": "<Figure size 1000x600 with 2 Axes>"}),
    "axes": cell("plot()", {"text/plain": "<Axes: xlabel='day', ylabel='amount'>"}),
    "score": cell("m", {"text/plain": "0.8312"}),
    "shape": cell("m", {"text/plain": "(12000, 14)"}),
    "len": cell("m", {"text/plain": "12000"}),
    "bool": cell("m", {"text/plain": "True"}),
    "model": cell("m", {"text/plain": "LogisticRegression(C=0.5)"}),
    "model2": cell("m", {"text/plain": "LogisticRegression(C=0.5, max_iter=200)"}),
    "stream": cell("m", stream="12000 rows read\n"),
    "stream2": cell("m", stream="AUC 0.83, Brier 0.12\n"),
    "stream3": cell("m", stream="epoch 3/10 loss 0.21\n"),
    "saved": cell("m", stream="saved to reports/figure.png\n"),
    "time": cell("m", stream="CPU times: user 1.2 s, sys: 12 ms, total: 1.3 s\n"),
    "run": cell("m", stream="run 0123456789abcdef0123456789abcdef finished\n"),
    "date": cell("m", {"text/plain": "datetime.date(2026, 11, 27)"}),
    "names of models": cell("names = ['Random Forest', 'Nearest Neighbors']\nmodel_names = ['Linear SVM', 'Decision Tree']"),
    "names of places": cell("cities = ['New York', 'Den Haag']\nshop_names = ['Bonn Mitte', 'Wien West']"),
    "a legend": cell("plt.legend(['Training Loss', 'Validation Loss'])"),
    "groups of customers": cell("customer_groups = ['High Value', 'Low Value']"),
    "an author": nbformat.v4.new_markdown_cell("Author: Anna Muster"),
    "a table of settings": nbformat.v4.new_markdown_cell("|name|meaning|\n|--|--|\n|a|b|\n|c|d|"),
}  # fmt: skip


@pytest.mark.parametrize("form", HARMLESS)
def test_what_is_no_data_is_left_alone(form):
    assert kinds(HARMLESS[form]) == []


@pytest.mark.parametrize(
    "text", ['{"cells":[null]}', '{"cells":[{"outputs":[null]}]}', '{"cells": 5}', "[]", "null",
             '{"cells":[{"source":{"a":1},"outputs":5}]}', "[" * 100_000]
)  # fmt: skip
def test_a_malformed_notebook_is_one_hit(text):
    assert [hit.kind for hit in scan_notebook("a.ipynb", text)] == ["not a readable notebook"]


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


SECRET = 'password = "' + "a1b2c3d4e5" + '"\n'


@pytest.fixture
def with_secret(tmp_path, monkeypatch):
    """Return a repository that would commit a password."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a.py").write_text(SECRET)
    return tmp_path


@pytest.mark.parametrize("fault", ["broken", "not installed", "of another owner"])
def test_where_git_does_not_tell_nothing_passes_the_search(with_secret, monkeypatch, fault):
    if fault == "broken":
        (with_secret / ".git/index").write_text("nonsense")
    elif fault == "not installed":
        monkeypatch.setenv("PATH", str(with_secret))
    elif os.getuid():
        pytest.skip("only root can give files to somebody else")
    else:
        os.chown(with_secret / ".git", 1234, 1234)
        os.chown(with_secret, 1234, 1234)
    with pytest.raises(Misuse, match=r"^Git does not tell which files .* Nothing was searched"):
        scan_secrets(with_secret)


def test_a_project_that_a_repository_around_it_ignores_is_searched_whole(with_secret):
    (with_secret / ".gitignore").write_text("project/\n")
    assert [hit.file for hit in scan_secrets(with_secret / "project")] == ["a.py"]


def test_another_repository_in_the_environment_is_not_the_one_that_is_searched(
    with_secret, tmp_path_factory, monkeypatch
):
    other = tmp_path_factory.mktemp("other")
    subprocess.run(["git", "init", "-q"], cwd=other, check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert [hit.file for hit in scan_secrets(with_secret)] == ["project/a.py"]


def test_a_name_that_is_no_text_hides_no_file(with_secret):
    Path(os.fsdecode(os.fsencode(with_secret) + b"/Gr\xfc\xdfe.py")).write_text(SECRET)
    shown = [hit.file for hit in scan_secrets(with_secret)]
    assert len(shown) == 2 and all(name.encode() for name in shown)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "private key"),
        ("key = AKIA" + "A7" * 8, "S3 access key"),
        ("t: ghp_" + "a1" * 18, "service token"),
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


def test_the_corpus_of_secrets_has_no_miss_and_no_false_alarm():
    rows = corpus()
    wrong = [row for row in rows if ours(row[2], row[1]) != (row[0] == "SECRET")]
    assert wrong == []
    found, secrets, false, harmless = measured(ours)
    assert (found, false) == (secrets, 0)
    assert secrets >= 480
    assert harmless >= 370


def test_a_secret_is_waived_by_a_whole_waiver_that_has_not_ended():
    line = 'password = "a1b2c3d4e5"  # audit-waiver: owner=CTO, reason=a test account, until='
    soon = f"{datetime.now(UTC) + timedelta(days=300):%Y-%m-%d}"
    assert list(secrets_in(line + soon)) == []
    for broken in (
        line + "2020-01-01",
        line + "2999-01-01",
        line + "soon",
        line.replace("owner=CTO, ", "") + soon,
    ):
        assert list(secrets_in(broken)) != []


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
    "UTF-16 without its mark": (WORDS * 9).decode().encode("utf-16-le"),
    "a large table": WORDS * 100_000,
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


@pytest.mark.parametrize("name", ["deploy/kibana.p12", "client.PFX", "truststore.jks"])
def test_a_store_of_keys_is_found_by_its_name(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\0\1\2")
    assert [(hit.file, hit.kind) for hit in scan_secrets(tmp_path)] == [(name, "store of keys")]


def test_a_secret_in_a_committed_file_is_found_with_its_line(tmp_path):
    (tmp_path / "config.toml").write_text('[x]\npassword = "' + "a1b2c3d4e5" + '"\n')
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.py").write_text('password = "' + "a1b2c3d4e5" + '"\n')
    (hit,) = scan_secrets(tmp_path, exclude=("tests/*",))
    assert (hit.file, hit.line, hit.kind) == ("config.toml", 2, "password or key")

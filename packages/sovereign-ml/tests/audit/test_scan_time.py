"""No scanner's time grows faster than its text."""

import json
import time

import pytest

from sovereign_ml.audit import scan
from sovereign_ml.audit.notebooks import scan_notebook
from sovereign_ml.audit.secrets import secrets_in
from sovereign_ml.card.importers.findings import addresses, mask
from sovereign_ml.card.importers.huggingface import parse

HOSTILE = {
    "one word": "a",
    "dots": "a.",
    "at signs": "a@",
    "dots and at signs": "a.b@",
    "slashes": "://a",
    "schemes": "a+b-",
    "colons": "a:",
    "numbers": "1 2",
    "quotes": "'a',",
    "braces": "{a}",
    "variables": "${A:-",
    "keys": "password",
    "assignments": "token = ",
    "hashes": "# a",
    "rows": "a,1,b\n",
    "bars": "|1",
    "known hosts": "a.s3.amazonaws.com ",
    "hex": "0f",
    "parentheses": "(1,2),",
    "blanks": " ",
    "base64": "aHR0cHM6",
    "comments": "/*",
    "tags": "<a ",
    "logins": "docker login ",
    "names": "name: A_KEY\n",
    "escapes": "%3a%2f",
    "imports": "import a\n",
    "percent": "%ABC",
    "nested": "https://a?b=https://",
    "objects": '{"a":',
    "quoted names": "`a",
}


def as_file(tmp_path, name):
    def run(text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return scan(tmp_path)

    return run


def in_notebook(text):
    cell = {"cell_type": "code", "source": text, "outputs": [{"text": text}]}
    return scan_notebook("a.ipynb", json.dumps({"cells": [cell]}))


def in_card(text):
    return parse(f"---\na: b\n---\n{text}"), mask(text), list(addresses(text))


SCANNERS = (
    *("a.txt.conf", "a.py", "a.yaml", "a.html", "a.js", "a.tf", "a.sql", "a.sh", "Dockerfile"),
    *("a.json", "secrets", "notebook", "card"),
)


def scanner(name, tmp_path):
    fixed = {
        "secrets": lambda text: list(secrets_in(text, "a.yaml")),
        "notebook": in_notebook,
        "card": in_card,
    }
    return fixed.get(name) or as_file(tmp_path, name)


def seconds(run, text):
    """Seconds of this process, so that other processes do not count."""
    start = time.process_time()
    run(text)
    return time.process_time() - start


@pytest.mark.parametrize("name", SCANNERS)
def test_four_times_the_text_takes_about_four_times_as_long(name, tmp_path):
    run = scanner(name, tmp_path)
    run("warm up")
    slow = {}
    for kind, unit in HOSTILE.items():
        small = unit * (10_000 // len(unit))
        whole = seconds(run, small * 4)
        # under 50 ms the clock says nothing; a quadratic pattern takes sixteen times as long
        if whole > 0.05 and whole > 9 * max(min(seconds(run, small) for _ in range(2)), 0.005):
            # a collection of garbage may fall into one run, not into all of them
            whole = min(whole, seconds(run, small * 4), seconds(run, small * 4))
            if whole > 9 * max(seconds(run, small), 0.005):
                slow[kind] = whole
    assert slow == {}


def test_a_file_of_brackets_is_read_and_ends_nothing(tmp_path):
    deep = {"a.json": '{"a":' * 50_000, "a.yaml": "[" * 100_000, "b.yaml": "- " * 90_000}
    for name, text in deep.items():
        (tmp_path / name).write_text(text + '"https://api.wandb.ai"')
    assert len({row.file for row in scan(tmp_path)}) == 3

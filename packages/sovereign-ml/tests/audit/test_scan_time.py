"""No scanner's time grows faster than its text."""

import gc
import json
import time

import pytest

from sovereign_ml.audit import scan
from sovereign_ml.audit.notebooks import scan_notebook
from sovereign_ml.audit.pii_scan import free_text, identifiers, special_categories
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


def as_columns(text):
    return identifiers([text], [text]), free_text([text]), special_categories([text])


SCANNERS = (
    *("a.txt.conf", "a.py", "a.yaml", "a.html", "a.js", "a.tf", "a.sql", "a.sh", "Dockerfile"),
    *(
        "a.json",
        "a.md",
        "a.ipynb",
        "a.R",
        "feature_store.yaml",
        "requirements.txt",
        "secrets",
        "secrets.json",
    ),
    *("notebook", "card", "personal data"),
)


def scanner(name, tmp_path):
    fixed = {
        "secrets": lambda text: list(secrets_in(text, "a.yaml")),
        "secrets.json": lambda text: list(secrets_in(text, "a.json")),
        "notebook": in_notebook,
        "card": in_card,
        "personal data": as_columns,
    }
    return fixed.get(name) or as_file(tmp_path, name)


BYTES = 1_000_000 // len(HOSTILE)
"""Of each kind, so that each scanner reads 1 MB of hostile text."""


def seconds(run, text):
    """Seconds of this process, so that other processes do not count; without collections of garbage."""
    gc.disable()
    start = time.process_time()
    run(text)
    used = time.process_time() - start
    gc.enable()
    return used


@pytest.mark.parametrize("name", SCANNERS)
def test_a_megabyte_of_hostile_text_takes_no_longer_for_its_length(name, tmp_path):
    """A quarter of the text takes a quarter of the time; with a quadratic pattern it takes a sixteenth."""
    run = scanner(name, tmp_path)
    run("warm up")
    slow = {}
    for kind, unit in HOSTILE.items():
        text = unit * (BYTES // len(unit))
        whole = seconds(run, text)
        # below this even a quadratic pattern ends in a minute for 1 MB, and the clock says little
        if whole < 0.08:
            continue
        quarter = unit * (BYTES // len(unit) // 4)
        pairs = [(seconds(run, quarter), whole)]
        # the share of a busy machine changes from run to run: three pairs must say the same
        while pairs[-1][1] > 9 * pairs[-1][0] and len(pairs) < 3:
            pairs.append((seconds(run, quarter), seconds(run, text)))
        if pairs[-1][1] > 9 * pairs[-1][0]:
            slow[kind] = pairs
    assert slow == {}


def test_a_file_of_brackets_is_read_and_ends_nothing(tmp_path):
    deep = {"a.json": '{"a":' * 50_000, "a.yaml": "[" * 100_000, "b.yaml": "- " * 90_000}
    for name, text in deep.items():
        (tmp_path / name).write_text(text + '"https://api.wandb.ai"')
    assert len({row.file for row in scan(tmp_path)}) == 3

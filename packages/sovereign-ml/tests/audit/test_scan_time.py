"""No scanner's time grows faster than its text: twice the text takes about twice as long."""

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


SCANNERS = ("a.txt.conf", "a.py", "a.yaml", "a.html", "secrets", "notebook", "card")


def scanner(name, tmp_path):
    fixed = {
        "secrets": lambda text: list(secrets_in(text, "a.yaml")),
        "notebook": in_notebook,
        "card": in_card,
    }
    return fixed.get(name) or as_file(tmp_path, name)


def seconds(run, text):
    """The least of two runs, in seconds of this process: other processes do not count."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        run(text)
        taken.append(time.process_time() - start)
    return min(taken)


@pytest.mark.parametrize("name", SCANNERS)
def test_twice_the_text_takes_about_twice_the_time(name, tmp_path):
    run = scanner(name, tmp_path)
    run("warm up")
    slow = {}
    for kind, unit in HOSTILE.items():
        half = unit * (20_000 // len(unit))
        first = seconds(run, half)
        # under 20 ms the clock says nothing; a quadratic pattern takes seconds here
        second = seconds(run, half * 2)
        if second > 0.02 and second > 3 * max(first, 0.005):
            slow[kind] = (first, second)
    assert slow == {}

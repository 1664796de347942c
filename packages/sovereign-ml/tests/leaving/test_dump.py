"""The dump: the same folder however it is made, held to AWS's own shapes, one line for each bad file."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.session import Session

from sagemaker_double import Account, dumped, sagemaker
from sovereign_ml.egress import allow_list
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import catalogue
from sovereign_ml.leaving import fetch as fetching
from sovereign_ml.leaving.dump import ms, open_dump
from sovereign_ml.leaving.fetch import fetch

REGION = "eu-central-1"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def files(folder: Path) -> dict[str, Any]:
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_text())
        for path in sorted(folder.rglob("*.json"))
        if path.name != "about.json"
    }


@pytest.mark.usefixtures("keys")
def test_fetch_pages_through_everything_and_goes_on_where_it_was_interrupted(
    tmp_path: Path,
) -> None:
    account = Account()
    account.throttled = 2
    with sagemaker(account) as address:
        fetch(tmp_path / "dump", REGION, endpoint=address, online=("user-features",))
        once = len(account.asked)
        for name in ("search/ModelCard.json", "cards/churn-card/2.json"):
            (tmp_path / "dump" / name).unlink()
        fetch(tmp_path / "dump", REGION, endpoint=address)
    assert account.violations == []
    again = [line.split()[0] for line in account.asked[once:]]
    assert {"DescribeModelCard", "Search"} <= set(again)
    assert again.count("DescribeModelCard") == 1
    assert "DescribeFeatureGroup" not in again
    dump = open_dump(tmp_path / "dump")
    assert len(dump.found("ExperimentTrialComponent")) == 6
    assert len(dump.feature_groups()["user-features"]["FeatureDefinitions"]) == 5
    assert len(dump.below("cards")) == len(dump.below("packages")) == 3
    rows = (tmp_path / "dump/online/user-features.jsonl").read_text().splitlines()
    assert len({json.loads(row)["RecordIdentifierValueAsString"] for row in rows}) == 250
    assert {oct(p.stat().st_mode)[-3:] for p in (tmp_path / "dump").rglob("*.json")} == {"600"}
    assert dump.gaps(datetime.now(UTC)) == []
    # the double that writes files without a network gives the same
    plain = files(dumped(account, tmp_path / "plain"))
    fetched = {k: v for k, v in files(tmp_path / "dump").items() if not k.startswith("metrics/")}
    assert fetched.keys() == plain.keys()


@pytest.mark.usefixtures("keys")
def test_a_fetch_that_is_killed_at_any_point_is_finished_by_the_next_and_asks_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    account, write, left = Account(runs=2), fetching._write, [0]

    def killed(file: Path, answer: dict[str, Any]) -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed
        write(file, answer)

    with sagemaker(account) as address:
        fetch(tmp_path / "whole", REGION, endpoint=address)
        questions = len(account.asked)
        account.asked.clear()
        monkeypatch.setattr(fetching, "_write", killed)
        for left[0] in (1, 2, 3, 9, 20):
            with pytest.raises(Killed):
                fetch(tmp_path / "dump", REGION, endpoint=address)
            with pytest.raises(Misuse):
                open_dump(tmp_path / "dump")
        fetch(tmp_path / "dump", REGION, endpoint=address)
        with pytest.raises(Misuse, match="not of eu-west-1"):
            fetch(tmp_path / "dump", "eu-west-1", endpoint=address)
    assert files(tmp_path / "dump") == files(tmp_path / "whole")
    # what was asked when a call was killed, with its pages, is all that is asked again
    assert questions <= len(account.asked) <= questions + 4 * 3


@pytest.mark.usefixtures("keys")
def test_what_was_deleted_after_it_was_listed_stops_no_fetch_and_is_named(tmp_path: Path) -> None:
    account = Account(runs=1)
    account.gone = {"DescribeModelCard"}
    with sagemaker(account) as address:
        fetch(tmp_path / "dump", REGION, endpoint=address)
    lines = (tmp_path / "dump/refused.txt").read_text().splitlines()
    assert len(lines) == 3
    assert all(line.endswith(": ResourceNotFound") for line in lines)
    dump = open_dump(tmp_path / "dump")
    assert dump.packages()
    assert any("3 questions were refused" in gap for gap in dump.gaps(datetime.now(UTC)))


def test_every_question_and_its_arguments_exist_in_botocore() -> None:
    model = Session().get_service_model("sagemaker")

    def check(questions: tuple[catalogue.ApiQuestion, ...]) -> None:
        for question in questions:
            operation = model.operation_model(question.operation)
            assert set(question.arguments) <= set(operation.input_shape.members), question
            assert set(operation.input_shape.required_members) <= set(question.arguments), question
            if question.then:
                member = operation.output_shape.members[question.items].member
                assert question.key in member.members, question
            check(question.then)

    check(catalogue.QUESTIONS)


def test_the_script_asks_the_same_questions(tmp_path: Path) -> None:
    """`aws` is replaced by a program that writes down its words and answers every list with two names."""
    program = tmp_path / "bin/aws"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$*" >> "$LOG"\ncase "$*" in *--query*) echo "a b";; '
        '*list-ml*) exit 252;; *) echo "{}";; esac\n'
    )
    program.chmod(0o755)
    script = tmp_path / "leave.sh"
    script.write_text(catalogue.script(REGION))
    environ = {"PATH": f"{program.parent}:{os.defpath}", "LOG": str(tmp_path / "log")}
    done = subprocess.run(["sh", str(script), "d"], cwd=tmp_path, env=environ, check=False)
    assert done.returncode == 0
    asked = (tmp_path / "log").read_text()
    for question in catalogue._flat(catalogue.QUESTIONS):
        assert f"sagemaker {question.command}" in asked
    assert (tmp_path / "d/pipelines/a/steps/b.json").is_file()
    assert "list-mlflow-apps" in (tmp_path / "d/refused.txt").read_text()
    assert not re.search(r"\b(?:delete|create|update|put|stop)-", asked)
    # a whole dump is not written over, and one without its end is made again
    again = subprocess.run(["sh", str(script), "d"], cwd=tmp_path, env=environ, check=False)
    assert again.returncode == 2
    (tmp_path / "d/about.json").unlink()
    with pytest.raises(Misuse, match=r"about\.json"):
        open_dump(tmp_path / "d")
    again = subprocess.run(["sh", str(script), "d"], cwd=tmp_path, env=environ, check=False)
    assert (again.returncode, len(open_dump(tmp_path / "d").answers) > 20) == (0, True)


BROKEN = {
    "cut": ("search/Experiment.json", '{"Results": [], "NextToken": "x"}', "incomplete"),
    "not json": ("search/Experiment.json", "<html>", "not JSON"),
    "empty": ("search/Experiment.json", "", "empty"),
    "a list": ("search/Experiment.json", "[]", "holds a list; expected an object"),
    "wrong type": (
        "search/Experiment.json",
        '{"Results": {}}',
        "Results is an object; expected a list, as Search",
    ),
    "wrong time": (
        "processing-jobs/a.json",
        '{"CreationTime": "yesterday"}',
        "CreationTime",
    ),
    "number for a name": (
        "cards/c/1.json",
        '{"ModelCardName": 3}',
        "ModelCardName is a number; expected text",
    ),
    "binary": ("search/Model.json", b"\x00\xff\xfe\xfa", "not UTF-8"),
    "no time": (
        "search/TrainingJob.json",
        '{"Results": [{"TrainingJob": {"CreationTime": "inf"}}]}',
        "timezone|no time",
    ),
    "deep": ("search/Model.json", "[" * 100_000, "not JSON|nested"),
    "no time of its making": ("about.json", "{}", r"about\.json"),
    "time of its making": ("about.json", '{"made": "soon"}', r"about\.json"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_file_is_one_line_with_its_name(tmp_path: Path, case: str) -> None:
    name, content, words = BROKEN[case]
    folder = dumped(Account(), tmp_path / "dump")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Misuse) as error:
        open_dump(folder)
    _, line = str(error.value).splitlines()
    assert name in line
    assert re.search(words, line)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_what_the_two_clis_and_powershell_write_is_read(tmp_path: Path, encoding: str) -> None:
    account = Account()
    folder = dumped(account, tmp_path / "dump")
    path = folder / "search/Experiment.json"
    row = {**account.rows["Experiment"][0], "CreationTime": "2025-03-01T09:00:00.250000+01:00"}
    answer = {"Results": [{"Experiment": row, "Trial": None}], "TotalHits": None, "Newer": 1}
    path.write_bytes(json.dumps(answer).encode(encoding))
    dump = open_dump(folder)
    assert ms(dump.found("Experiment")[0]["CreationTime"]) == 1740816000250 == ms(1740816000.25)
    assert any("unknown field Newer" in note for note in dump.notes)


def test_an_old_or_incomplete_dump_says_what_it_may_not_show(tmp_path: Path) -> None:
    made = datetime.now(UTC) - timedelta(days=8)
    folder = dumped(Account(), tmp_path / "dump", made)
    (folder / "mlflow/apps.json").unlink()
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | {"tool": "aws-cli/2.9.19 Python"}))
    (folder / "refused.txt").write_text("list-mlflow-apps\n")
    gaps = open_dump(folder).gaps(datetime.now(UTC))
    assert gaps == open_dump(folder).gaps(datetime.now(UTC) + timedelta(days=1)), "for waivers"
    text = "\n".join(gaps)
    assert re.search(
        rf"of {made:%Y-%m-%d}, more than 7 days[\s\S]*mlflow/apps.json[\s\S]*refused[\s\S]*ModelLifeCycle",
        text,
    )


def test_only_fetch_may_reach_aws_and_only_in_its_region() -> None:
    def hosts(*arguments: str) -> tuple[str, ...]:
        return allow_list._hosts_to_leave(arguments)

    assert hosts("leave", "fetch", "d", "--region", REGION) == (
        f"api.sagemaker.{REGION}.amazonaws.com",
        f"metrics.sagemaker.{REGION}.amazonaws.com",
        f"featurestore-runtime.sagemaker.{REGION}.amazonaws.com",
    )
    assert hosts("leave", "fetch", "d", "--region=eusc-de-east-1")[0].endswith("amazonaws.eu")
    for words in (
        ("leave", "runs", "fetch", "--region", REGION),
        ("leave", "fetch", "--region", "evil.example/"),
        ("fetch", "leave", "--region", REGION),
        ("leave", "fetch"),
    ):
        assert hosts(*words) == ()
    ours = allow_list.allowed_hosts({}, "eu", {}, command="leave")
    assert not any("amazonaws" in host for host in ours)


@pytest.mark.parametrize(
    "region", [REGION, "us-gov-west-1", "cn-north-1", "cn-northwest-1", "eusc-de-east-1"]
)
def test_the_hosts_of_fetch_are_those_that_boto3_asks_in_each_partition(region: str) -> None:
    session = Session()
    session.set_credentials("none", "none")
    names = ("sagemaker", "sagemaker-metrics", "sagemaker-featurestore-runtime")
    asked = {urlsplit(session.create_client(n, region).meta.endpoint_url).hostname for n in names}
    assert asked == set(allow_list._hosts_to_leave(("leave", "fetch", "d", "--region", region)))


@pytest.mark.usefixtures("keys")
def test_a_name_that_points_out_of_the_folder_writes_nothing(tmp_path: Path) -> None:
    account = Account(runs=0)
    account.rows["FeatureGroup"][0]["FeatureGroupName"] = "../../out"
    account.described["DescribeFeatureGroup", "../../out"] = account.rows["FeatureGroup"][0] | {
        "NextToken": ""
    }
    with sagemaker(account) as address, pytest.raises(Refused, match="nothing is written there"):
        fetch(tmp_path / "a/dump", REGION, endpoint=address)
    assert not list(tmp_path.glob("out*"))

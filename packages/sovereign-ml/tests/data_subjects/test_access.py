"""What a person gets who asks: everything held, the profile, each decision explained, in two forms."""

import json
import re
import stat
from contextlib import closing

import pandas as pd
import pytest

from sovereign_ml.decision_log import Draft, open_log
from sovereign_ml.texts import catalogue
from world import World, pseudonym

pytestmark = pytest.mark.flow
NAMES = ("objected", "restricted", "consent_withdrawn")


def test_the_answer_holds_every_row_and_every_decision(world: World) -> None:
    person = world.chosen[0]
    done = world.churn(
        "data-subject", "access", "--subject", person.customer_id, "--output", "build/answer"
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads((world.root / "build/answer/access.json").read_text())
    lines = pd.read_parquet(world.root / "data/1_raw/transactions.parquet")
    mine = lines[lines["customer_id"] == pseudonym(person)]
    assert len(answer["provided"]["purchases"]) == len(mine)
    spent = sum(one["amount_eur"] for one in answer["provided"]["purchases"])
    assert spent == pytest.approx(float(mine["amount_eur"].sum()))
    (decision,) = answer["decisions"]
    assert decision["influences"] and decision["what_would_change_it"] and decision["inputs"]
    assert decision["joint_reasons"] and decision["final_outcome"] and answer["score_reasons"]
    (score,) = answer["profile"]["score"]
    assert decision["score"] == pytest.approx(score["score"], abs=1e-5)
    assert answer["retention"]["decisions"] == "P24M from: decided"
    assert stat.S_IMODE((world.root / "build/answer/access.html").stat().st_mode) == 0o600


def test_the_answer_is_written_in_german_and_an_unknown_language_is_refused(world: World) -> None:
    person = world.chosen[0].customer_id
    done = world.churn(
        "data-subject", "access", "--subject", person, "--lang", "de", "--output", "build/answer"
    )
    assert done.returncode == 0, done.stderr
    page = (world.root / "build/answer/access.html").read_text(encoding="utf-8")
    assert 'lang="de"' in page and "Ihre Daten bei" in page
    assert "Kunden von" in page and "{{" not in page, "the words of documents.toml"
    assert "Der Wortlaut von data.label_definition in der Sprache de fehlt" in done.stdout
    assert "purpose.statement" not in done.stdout
    wrong = world.churn(
        "data-subject", "access", "--subject", person, "--lang", "xx", "--output", "build/other"
    )
    assert wrong.returncode == 2 and "no texts in 'xx'" in wrong.stderr


def test_the_answer_is_in_the_language_that_the_notice_names(world: World) -> None:
    asked = ("data-subject", "access", "--subject", world.chosen[0].customer_id)
    path = world.root / "data/6_card/card.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["answers"]["notice"]["languages"] = ["Klingon", "German"]
    path.write_text(json.dumps(stored), encoding="utf-8")
    done = world.churn(*asked, "--output", "build/answer")
    assert done.returncode == 0, done.stderr
    assert 'lang="de"' in (world.root / "build/answer/access.html").read_text(encoding="utf-8")
    assert "names Klingon, and there are no texts in it. There are de, en;" in done.stdout


def test_the_answer_says_what_keeps_the_person_from_being_scored(world: World) -> None:
    first, other = (pseudonym(one) for one in world.chosen[:2])
    with closing(open_log(str(world.root / ".churn/decisions.db"))) as log:
        log.append([Draft(kind, kind, first, "{}") for kind in ("restriction", "withdrawal")])
        log.append([Draft("objection", "objection", other, "{}")])
    for person, bars in ((first, (False, True, True)), (other, (True, False, False))):
        told = ("--pseudonyms", "--lang", "de", "--output", "build/answer")
        assert world.churn("data-subject", "access", "--subject", person, *told).returncode == 0
        answer = json.loads((world.root / "build/answer/access.json").read_text())
        held = (answer["objected"], answer["restricted"], answer["consent_withdrawn"])
        assert held == bars
        page = (world.root / "build/answer/access.html").read_text(encoding="utf-8")
        words = [page.partition(catalogue("de")(f"letter.{name}"))[2] for name in NAMES]
        assert tuple(re.findall("[Jj]a|[Nn]ein", text)[0] in ("ja", "Ja") for text in words) == bars


def test_nobody_else_is_in_the_answer(world: World) -> None:
    first, *others = world.chosen
    world.churn(
        "data-subject", "access", "--subject", first.customer_id, "--output", "build/answer"
    )
    text = (world.root / "build/answer/access.json").read_text() + (
        world.root / "build/answer/access.html"
    ).read_text()
    assert not any(word in text for one in others for word in (*one.words, pseudonym(one)))


def test_somebody_unknown_gets_an_answer_that_says_so(world: World) -> None:
    done = world.churn("data-subject", "access", "--subject", "nobody", "--output", "build/answer")
    assert done.returncode == 0 and "Nothing is held" in done.stdout


def test_an_erasure_takes_the_copy_that_an_access_request_left(world: World) -> None:
    person = world.chosen[0]
    world.churn("data-subject", "access", "--subject", person.customer_id)
    assert list((world.root / "build/access").rglob("access.json"))
    assert world.erase([person]).returncode == 0
    assert not list((world.root / "build/access").rglob("access.*"))

"""After another key for the pseudonyms nobody is lost and nobody comes back."""

from contextlib import closing
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from searching import places
from small_project import KEY, churn
from sovereign_ml.decision_log import Draft, open_log, verify
from sovereign_ml.decision_log.entries import BARS, Bar, mark_of
from sovereign_ml.pseudonyms import parse_keys, pseudonyms
from world import World, pseudonym

pytestmark = pytest.mark.flow


def without(path: Path, customer_id: str) -> None:
    """The team takes somebody out of its file; a new file, because the old one is shared with other tests."""
    lines = [line for line in path.read_text().splitlines() if customer_id not in line]
    path.unlink()
    path.write_text("\n".join(lines) + "\n")


def test_the_erased_stay_away_objectors_stay_out_and_old_decisions_are_found(world: World) -> None:
    removed, erased, asks = world.chosen
    old = pd.read_parquet(world.root / "data/8_scores/scores.parquet")["customer_id"]
    scored = [one for one in world.people if pseudonym(one) in set(old)]
    objects, *others = [one for one in scored if one not in world.chosen][:3]
    address = str(world.root / ".churn/decisions.db")
    assert world.erase([removed, erased]).returncode == 0
    with closing(open_log(address)) as log:
        pairs = zip(get_args(Bar), (objects, *others), strict=True)
        log.append([Draft(bar, f"{bar}-1", pseudonym(one), "{}") for bar, one in pairs])
        claims = '{"ground": "needed_for_claims"}'
        log.append([Draft("restriction", "restriction-2", pseudonym(others[0]), claims)])
    full = (world.folder / "input/transactions.csv").read_text()
    for name in ("transactions", "customers"):
        without(world.folder / f"input/{name}.csv", removed.customer_id)

    file = world.folder / "home/new.key"
    done = world.churn("data-subject", "rotate-key", "--new-key-file", str(file))
    assert done.returncode == 0, done.stderr
    assert (
        "Carried over: 1 tombstones, 3 objections" in done.stdout
        and file.stat().st_mode & 0o077 == 0
    )
    new, former = parse_keys(file.read_text())
    assert former.hex() == KEY and new.hex() not in done.stdout
    (world.folder / "input/transactions.csv").write_text(full)  # an old file with the person in it

    given = {**world.input, "CHURN_PSEUDONYM_KEY": file.read_text()}
    assert world.churn("data").returncode == 2, "the old key alone is refused"
    done = churn(world.root, "data", **given)
    assert done.returncode == 0, done.stderr
    there = set(pd.read_parquet(world.root / "data/1_raw/transactions.parquet")["customer_id"])
    named = dict(
        zip(pseudonyms([one.customer_id for one in world.people], new), world.people, strict=True)
    )
    assert there <= named.keys() and not {removed, erased, objects, *others} & {
        named[one] for one in there
    }
    newly = {one: name for name, one in named.items()}
    with closing(open_log(address)) as log:
        with log.snapshot() as tables:
            assert (mark_of(newly[erased]),) in tables.erased
        now = log.barred()
        assert [now[newly[one]] for one in (objects, *others)] == list(BARS.values())
        standing = log.in_force(newly[others[0]], "restriction")
        assert ["needed_for_claims" in (bar.body or "") for bar in standing] == [False, True]

    done = churn(
        world.root,
        "data-subject",
        "access",
        "--subject",
        asks.customer_id,
        "--output",
        "build/answer",
        **given,
    )
    page = (world.root / "build/answer/access.json").read_text()
    assert (
        done.returncode == 0 and page.count('"what_would_change_it"') == 1 and newly[asks] in page
    )
    done = churn(world.root, "data-subject", "erase", "--subject", asks.customer_id, **given)
    assert done.returncode == 0, done.stderr
    assert places(world.folder, [pseudonym(asks), newly[asks]]) == []
    with closing(open_log(address)) as log:
        assert verify(log).holds


def test_a_key_file_is_replaced_and_a_second_rotation_keeps_both_former_keys(
    made: World, tmp_path: Path
) -> None:
    own = {**made.input, "CHURN_PSEUDONYM_KEY": "", "XDG_CONFIG_HOME": str(tmp_path)}
    file = tmp_path / "churn/acme-churn.key"
    file.parent.mkdir()
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    note = made.root / "governance/key.txt"
    try:
        assert churn(made.root, "data-subject", "rotate-key", **own).returncode == 0
        assert churn(made.root, "data-subject", "rotate-key", **own).returncode == 0
    finally:
        note.unlink(missing_ok=True)
    keys = parse_keys(file.read_text())
    assert len(set(keys)) == 3 and keys[-1].hex() == KEY
    assert [path.name for path in file.parent.iterdir()] == ["acme-churn.key"]
    assert not (made.root / "governance/tombstones.txt").exists()

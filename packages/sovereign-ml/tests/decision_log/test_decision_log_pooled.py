"""The decision log behind PgBouncer in transaction mode, as platforms put it before their databases."""

import pytest

from servers import pooled, postgres_or_skip
from sovereign_ml.decision_log import Draft, open_log, verify


@pytest.mark.servers
def test_two_instances_behind_a_transaction_pooler_write_one_chain() -> None:
    with postgres_or_skip() as server, pooled(server, size=2) as url:
        logs = open_log(url), open_log(url)
        for turn in range(20):
            logs[turn % 2].append(
                [Draft("decision", f"case-{turn}", "aaaaaaaa", "{}", '{"objected":true}')]
            )
        verdict = verify(logs[0])
        assert verdict.problems == ()
        assert verdict.entries == 20

"""Work in the rendered project of this folder as a team does that has Hopsworks and ClearML: both doubles, both real clients.

It runs the flow, publishes, looks a customer up by the service, copies the runs, erases the customer and lets the rest
expire. `tests/test_two_platforms.py` runs it where nothing can leave, which sees native sockets too.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":
    SUPPORT = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(folder) for folder in SUPPORT.iterdir() if folder.is_dir()]

import pandas as pd

import clearml_double
import warm_churn
from clearml_double import KEY, SECRET
from hopsworks_double import CLIENT_KEY, knobs, platform, tell
from shipped import service
from small_project import SMALL, configure
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.features import hopsworks

SECRETS = {
    "CHURN_HOPSWORKS_API_KEY": CLIENT_KEY,
    "CLEARML_API_ACCESS_KEY": KEY,
    "CLEARML_API_SECRET_KEY": SECRET,
}
LATER = f"{datetime.now(UTC) + timedelta(days=5000):%Y-%m-%d}"


def churn(*words: str, code: int = 0) -> str:
    """Call `churn` as a person does. Raises AssertionError if it ends otherwise than ``code``."""
    done = warm_churn.churn(
        Path.cwd(), *words, CHURN_CLIENTS=ENVIRONMENT["CHURN_CLIENTS"], **SECRETS
    )
    text = done.stdout + done.stderr
    print("$ churn", *words, flush=True)
    print(text.rstrip(), flush=True)
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}"
    return text


def work(root: Path, folder: Path) -> None:
    """Do all of it in the project ``root``. The doubles write into ``folder``."""
    clients = Path(ENVIRONMENT["CHURN_CLIENTS"])
    validators = clearml_double.schemas(clients / "clearml/bin/python")
    with (
        platform(folder, clients) as server,
        clearml_double.clearml(validators) as (address, tasks),
    ):
        configure(root, {**SMALL, **knobs(server), "clearml.api": address})
        churn("run")
        assert "online store: hopsworks" in churn("servers", "materialise")
        assert "No difference" in churn("servers", "parity")

        scored = pd.read_parquet(root / "data/8_scores/scores.parquet")
        customer, other = scored["customer_id"][:2]
        store = {
            "FEATURE_STORE_KIND": "hopsworks",
            "FEATURE_STORE_URI": server.rest,
            "FEATURE_STORE_NAME": "acme_featurestore",
            "FEATURE_STORE_TOKEN": CLIENT_KEY,
            "FEATURE_STORE_TIMEOUT_S": "20",
            "SSL_CERT_FILE": server.trust_store,
        }
        log = root / ".churn/decisions.db"
        with service(root / "data/7_bundle", str(log), **store) as running:
            decision = running.post("/v1/score", {"customer_id": customer})
        print(f"The service looked the customer up: {decision.status_code}")
        assert decision.status_code == 200, decision.text

        assert "1 runs copied" in churn("clearml", "push", "--all")
        assert "0 runs copied" in churn("clearml", "push", "--all")

        erase = ("data-subject", "erase")
        churn(*erase, "--pseudonyms", "--subject", customer, code=1)
        assert list(hopsworks.look_up(server, [customer, other])) == [other]
        tell(server, "expire")
        churn(*erase)
        with service(root / "data/7_bundle", str(log), **store) as running:
            refused = running.post("/v1/score", {"customer_id": customer})
            decided = running.post("/v1/score", {"customer_id": other})
        statuses = refused.status_code, decided.status_code
        print(f"The service after the erasure, the erased and another customer: {statuses}")
        assert statuses[0] >= 400 and statuses[1] == 200, (refused.text, decided.text)

        configure(root, {"retention.runs.period": "P1M", "retention.models.period": "P1M"})
        churn("retain", "--apply", "--at", LATER)
        assert tell(server, "state")["table"] == []
        print(f"After the last period ClearML has {len(tasks.tasks)} tasks.")
        assert tasks.tasks == {} and tasks.events == []


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        work(Path.cwd(), Path(place))

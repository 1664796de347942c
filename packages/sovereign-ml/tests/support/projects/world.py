"""A project and the team's input beside it, as a person meets them."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from canaries import Canary
from small_project import KEY, churn, load
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.cli.composition import project_stores
from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.decision_log import open_log
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.service import settings as service_settings
from sovereign_ml.service.api.scoring import Dated, make
from sovereign_ml.service.runtime import Runtime, archive


@dataclass(frozen=True)
class World:
    """A folder with everything that the flow has written, and the team's input beside it."""

    folder: Path
    people: tuple[Canary, ...]
    chosen: tuple[Canary, ...] = ()
    """Three people who are scored, so that they are in every store."""

    @property
    def root(self) -> Path:
        return self.folder / "acme-churn"

    @property
    def settings(self) -> Settings:
        return load(self.root)

    @property
    def stores(self) -> ProjectStores:
        return project_stores(self.settings)

    def churn(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return churn(self.root, *arguments, **self.input)

    @property
    def input(self) -> dict[str, str]:
        files = {"CHURN_DATA": "transactions.csv", "CHURN_CUSTOMERS_FILE": "customers.csv"}
        return {name: f"../input/{file}" for name, file in files.items()}

    def erase(self, people: Sequence[Canary], *more: str) -> subprocess.CompletedProcess[str]:
        return self.churn(
            "data-subject",
            "erase",
            *(word for one in people for word in ("--subject", one.customer_id)),
            *more,
        )


def pseudonym(person: Canary) -> str:
    return pseudonyms([person.customer_id], bytes.fromhex(KEY))[0]


def inputs(row: Any) -> dict[str, Any]:
    """What the service is sent for a row of the snapshots."""
    return {
        k: None if pd.isna(v) else v
        for k, v in row.items()
        if k not in ("customer_id", "event_timestamp")
    }


def decide(root: Path, log: str) -> None:
    """A decision about everyone who is scored, as the service writes it."""
    with TemporaryDirectory() as spare:
        environ = {"BUNDLE_DIR": str(root / "data/7_bundle"), "CHURN_LOG": f"{spare}/log.db"}
        settings = service_settings.read(environ)
        runtime = Runtime(settings, read_bundle(settings.bundle))
    snapshots = pd.read_parquet(root / "data/3_features/snapshots.parquet")
    now = snapshots[snapshots["event_timestamp"] == snapshots["event_timestamp"].max()]
    head = {"bundle": runtime.reference, "key": "crm", **runtime.versions}
    drafts = []
    for row in now.to_dict("records"):
        sent = Dated(inputs(row), None, "not_dated")
        drafts.append(make(runtime, row["customer_id"], sent, source="request", head=head).draft)
    opened = open_log(log)
    archive(opened, runtime.bundle)
    opened.append(drafts)
    opened.close()
    runtime._reader.close()

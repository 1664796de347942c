"""A project and the team's input beside it, as a person meets them."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from canaries import Canary

from churn.settings import Settings
from small_project import KEY, churn, load
from sovereign.pseudonym import pseudonyms


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

    def churn(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return churn(self.root, *arguments, **self.input)

    @property
    def input(self) -> dict[str, str]:
        files = {"CHURN_DATA": "transactions.csv", "CHURN_CUSTOMERS_FILE": "customers.csv"}
        return {name: f"../input/{file}" for name, file in files.items()}

    def erase(self, people: Sequence[Canary], *more: str) -> subprocess.CompletedProcess[str]:
        return self.churn("erase", *(word for one in people for word in ("--subject", one.customer_id)), *more)


def pseudonym(person: Canary) -> str:
    return pseudonyms([person.customer_id], bytes.fromhex(KEY))[0]

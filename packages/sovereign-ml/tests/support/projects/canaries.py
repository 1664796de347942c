"""People with known ids, names, e-mail addresses and card numbers, planted into the built-in shop's tables."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sovereign_ml.config.data_tables import ShopSettings
from sovereign_ml.pipeline.demo_shop import Shop, make


@dataclass(frozen=True)
class Canary:
    """Everything about one person that must never leave the input."""

    customer_id: str
    name: str
    email: str
    card: str

    @property
    def words(self) -> tuple[str, ...]:
        return (self.customer_id, self.name, self.email, self.card)


def shop(customers: int, days: int) -> Shop:
    return make(ShopSettings(customers=customers, days=days, seed=11))


def plant(made: Shop, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Canary, ...]]:
    """Tables of ``made`` with the identities of its customers in the id and in extra columns; makes ``folder``."""
    folder.mkdir(parents=True)
    ids = made.customers["customer_id"]
    people = {one: _person(i) for i, one in enumerate(ids)}
    customers = made.customers.assign(
        customer_id=[people[one].customer_id for one in ids],
        full_name=[people[one].name for one in ids],
        email=[people[one].email for one in ids],
    )
    lines = made.transactions.assign(
        customer_id=[
            people[one].customer_id if one in people else None
            for one in made.transactions["customer_id"]
        ],
        paid_with=[
            people[one].card if one in people else "" for one in made.transactions["customer_id"]
        ],
    )
    return lines, customers, tuple(people.values())


def _person(number: int) -> Canary:
    # No run of zeros: 4000000000000000 is also the tail of many a float.
    card = f"5399{(number * 104_729 + 271_828) % 1_000_000:06d}{(number * 7919 + 314_159) % 1_000_000:06d}"
    return Canary(
        f"KD-{number:05d}-canary",
        f"Zyxwia Qanary{number:05d}",
        f"z{number:05d}@canary.example",
        card,
    )

"""Measure the monitor: false alarms, planted faults, November 2011, histories, campaigns, loads.

Needs a rendered project and its environment. Only its code is used: models are made in
copies, with every feature of contract.py. Online Retail takes part where ONLINE_RETAIL names the
file, and CDNOW, on which no limit was chosen, where CDNOW does. Writes
docs/benchmarks/monitoring.json and monitoring.md: python benchmarks/monitoring.py PROJECT
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import arguments, cpu_seconds, machine, publish
from monitoring_past import CDNOW, RETAIL, Place, alarms, found, from_file, november, shop
from monitoring_table import page, promises

SEEDS = (7, 8, 9)
KILLS = 20


def main() -> int:
    """Measure, then write JSON and table. Exit 1 if a promise is broken."""
    parser = arguments(__doc__)
    parser.add_argument("--work", type=Path, help="keep the projects here, and use those again")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    code = options.project.resolve()
    sys.path.insert(0, str(code / "src"))
    with tempfile.TemporaryDirectory(prefix="churn-monitoring-") as folder:
        work = options.work or Path(folder)
        work.mkdir(exist_ok=True)
        before = os.getloadavg()[0]
        result = machine() | measure(code, work.resolve())
        spent = cpu_seconds(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        result |= {"load": [before, os.getloadavg()[0]], "cpu_seconds": spent}
    publish(options.out, "monitoring", result, page(result))
    broken = [name for name, (kept, _, _) in promises(result).items() if not kept]
    return int(bool(broken))


def measure(code: Path, work: Path) -> dict[str, Any]:
    """Return every figure. Data sets that the environment does not name are left out."""
    from monitoring_simulated import histories

    result: dict[str, Any] = {"histories": histories()}
    shops = [shop(code, work / f"shop-{seed}", seed) for seed in SEEDS]
    tested = {
        f"Built-in shop, seed {seed}": place.backtest()
        for seed, place in zip(SEEDS, shops, strict=True)
    }
    if retail := os.environ.get("ONLINE_RETAIL"):
        place = from_file(code, work / "retail", Path(retail), RETAIL)
        tested["Online Retail"] = place.backtest()
        result["november"] = november(code, work / "november", Path(retail))
    if cdnow := os.environ.get("CDNOW"):
        place = from_file(code, work / "cdnow", Path(cdnow), CDNOW)
        tested["CDNOW"] = place.backtest()
    result["backtests"] = {
        name: alarms(each) | {"faults": found(each), "weekly": each["runs"]}
        for name, each in tested.items()
    }
    return result | loads(shops[0], work)


def loads(place: Place, work: Path) -> dict[str, Any]:
    """Return time, memory and safety of the monitor, and the campaigns, on one shop."""
    # The project is on the path only now.
    from churn.project import PROJECT
    from monitoring_load import customers, decisions, kills, sums
    from monitoring_simulated import campaigns

    from sovereign_ml.bundle.sealed import read_bundle
    from sovereign_ml.config.settings import load
    from sovereign_ml.monitoring.past_days import PastDays

    settings = load(root=place.root)
    sealed = read_bundle(settings.path("bundle"))

    def past() -> PastDays:
        return PastDays(PROJECT, settings.path("valid"), settings.features, settings.label.kind)

    people = past().snapshots([past().complete_until])
    return {
        "exact": sums(sealed, people),
        "kills": kills(place, KILLS),
        "decisions": decisions(place, settings, sealed, past()),
        "customers": customers(sealed, people),
        "campaigns": campaigns(past(), work),
    }


if __name__ == "__main__":
    sys.exit(main())

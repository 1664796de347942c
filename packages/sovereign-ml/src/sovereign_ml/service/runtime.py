"""State of one running service: bundle, log, keys, limits, feature server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from sovereign_ml.bundle.sealed import Bundle
from sovereign_ml.decision_log import (
    Committer,
    DecisionLog,
    Draft,
    Entry,
    LogUnavailableError,
    Rejection,
    open_log,
)
from sovereign_ml.decision_log.entries import RandomPool
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.model import served
from sovereign_ml.model.explain import Explainer, specs_as_modelled
from sovereign_ml.service import schemas
from sovereign_ml.service.access.rate_limit import Limiter
from sovereign_ml.service.access.session import Sessions
from sovereign_ml.service.api.feature_server import connect
from sovereign_ml.service.api.one_row import scorer_of
from sovereign_ml.service.bodies import body_sizes
from sovereign_ml.service.counters import Metrics
from sovereign_ml.service.desk.planting import Planting
from sovereign_ml.service.settings import ServiceSettings

T = TypeVar("T")
REQUEST_S = 10
"""Seconds from the end of the headers until the answer.

Looking up features has a limit of its own on top.
"""
PROBE_S = 1.5
"""Seconds for a probe, shorter than the time that a platform gives a readiness probe."""


class ArchivedBundle(NamedTuple):
    """The part of a bundle that is archived in the log: enough to explain its decisions."""

    explainer: Explainer
    contract: FeatureContract
    policy: DecisionPolicy

    @classmethod
    def of(cls, content: dict[str, Any]) -> ArchivedBundle:
        """Return the bundle in the body of a log entry."""
        contract = FeatureContract.model_validate(content["contract"])
        policy = DecisionPolicy.model_validate(content["policy"])
        return cls(
            Explainer(served.of_content(content["model"]), contract, policy), contract, policy
        )


class Runtime:
    """Open log and bundle, ready to answer.

    Raises LogUnavailableError when the log cannot be opened.
    """

    def __init__(self, settings: ServiceSettings, bundle: Bundle) -> None:
        self.settings = settings
        self.bundle = bundle
        self.scorer = scorer_of(bundle.model, bundle.contract.shared_windows)
        self.specs = specs_as_modelled(bundle.model, bundle.contract)
        self.versions = {
            "model_version": f"{bundle.manifest.name} {bundle.manifest.version}",
            "policy_version": bundle.policy.policy_version,
        }
        self.ids = RandomPool()
        self.limiter = Limiter(settings.rate)
        self.metrics = Metrics()
        self.sessions = Sessions(settings.session_secret.get_secret_value())
        self.models = request_models(bundle, looks_up=bool(settings.feature_store))
        self.body_sizes = body_sizes(bundle.contract)
        self.features = connect(settings)
        card_path = settings.bundle / "card.html"
        # Read once: its hash was checked just before, and the file may change later.
        self.card_page = card_path.read_bytes() if card_path.is_file() else None
        self.description: bytes | None = None
        """The OpenAPI document. It is made once, because everybody may ask for it."""
        looking_up = settings.feature_timeout if settings.feature_store else 0
        self.longest_request_s = REQUEST_S + looking_up
        self._kept: dict[str, ArchivedBundle] = {}
        # One thread, because a connection to the log may be used by one at a time.
        self._readers = ThreadPoolExecutor(1, "decision-log-reader")
        self._reader = open_log(settings.log)
        # Probes have a thread and a connection of their own: a slow query must not fail them.
        self._prober = ThreadPoolExecutor(1, "decision-log-prober")
        self._probed = open_log(settings.log)
        self._probe: asyncio.Future[object] | None = None
        self.reference = archive(self._reader, bundle)
        self.barred = self._reader.barred()
        self._committer = Committer(lambda: open_log(settings.log))
        self.planting = Planting(self._committer.submit, self.ids)

    async def write(self, *drafts: Draft) -> list[Entry | Rejection]:
        """Make ``drafts`` durable. Return the entry of each, or the reason of its refusal."""
        mixed = self.planting.mixed(drafts)
        written = await self._committer.submit(mixed)
        # Planted cases are left out: the caller gets one result per draft of its own.
        return [
            result for draft, result in zip(mixed, written, strict=True) if draft.kind != "seed"
        ]

    async def read(self, query: Callable[[DecisionLog], T]) -> T:
        """Run ``query`` on the log in the reading thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, query, self._reader)

    async def ready(self) -> None:
        """Raise LogUnavailableError unless the log answers soon.

        Where the settings say so, raise ProblemError 503 until the feature server has answered
        once. Later failures of that server do not count: requests with features need it not.

        The probe has a connection that no request can keep busy. Callers during one probe wait for
        that one.
        """
        if self._probe is None or self._probe.done():
            self._probe = asyncio.get_running_loop().run_in_executor(
                self._prober, self._probed.head
            )
        # Not wait_for(), which would cancel the probe for all who wait for it.
        _, late = await asyncio.wait([self._probe], timeout=PROBE_S)
        if late:
            raise LogUnavailableError(f"decision log: no answer within {PROBE_S} s")
        await self._probe
        if self.features is not None and self.settings.feature_first == "yes":
            await self.features.has_answered()

    async def kept(self, reference: str) -> ArchivedBundle:
        """Return the bundle that took a decision, from the log.

        It is found also when a newer one is served now.
        """
        # A reference is the hash of its bundle, so what is kept never changes.
        if reference not in self._kept:
            entries = await self.read(lambda log: log.of_case(reference))
            if not entries or entries[0].body is None:
                raise LogUnavailableError(f"decision log: bundle {reference} is not in it")
            self._kept[reference] = ArchivedBundle.of(json.loads(entries[0].body))
        return self._kept[reference]

    async def close(self) -> None:
        """Write pending entries, then close everything."""
        await self.planting.close()
        if self.features is not None:
            await self.features.close()
        # Each thread ends within the time that its database has for an answer.
        ends = (
            self._committer.close,
            lambda: _end(self._readers, self._reader),
            lambda: _end(self._prober, self._probed),
        )
        await asyncio.gather(*(asyncio.to_thread(end) for end in ends))


def _end(thread: ThreadPoolExecutor, log: DecisionLog) -> None:
    thread.shutdown(cancel_futures=True)
    log.close()


def request_models(bundle: Bundle, *, looks_up: bool) -> dict[str, type[BaseModel]]:
    """Return every request body by name.

    Those of the score depend on the bundle's contract.
    """
    score = schemas.score_request(bundle.contract, looks_up=looks_up)
    review = schemas.review_request(bundle.policy)
    fixed = (schemas.ContestRequest, review, *schemas.BAR_REQUESTS)
    return {model.__name__: model for model in (score, schemas.batch_request(score), *fixed)}


def archive(log: DecisionLog, bundle: Bundle) -> str:
    """Put the bundle's model, contract and policy into the log once.

    With them every decision stays explainable. Returns the reference that decisions carry.
    """
    parts = {
        name: getattr(bundle, name).model_dump(mode="json")
        for name in ("model", "contract", "policy")
    }
    body = json.dumps(
        {"name": bundle.manifest.name, "version": bundle.manifest.version, **parts}, sort_keys=True
    )
    # The keys are sorted, so that the same bundle always has the same reference.
    reference = "bundle-" + hashlib.sha256(body.encode()).hexdigest()[:32]
    if not log.of_case(reference):
        log.append([Draft("bundle", reference, None, body)])
    return reference

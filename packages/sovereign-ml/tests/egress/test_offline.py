"""The policy is on every answer of a wrapped application, beside one that it sends itself."""

import asyncio
from typing import Any

from sovereign_ml.egress.content_policy import CONTENT_SECURITY_POLICY, Offline


def answered(*headers: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Offline(app)({"type": "http"}, send, send))
    assert sent[1]["body"] == b"page"
    return list(sent[0]["headers"])


def test_every_answer_carries_the_policy() -> None:
    assert answered() == [(b"content-security-policy", CONTENT_SECURITY_POLICY.encode())]


def test_a_policy_of_the_application_stays_and_ours_is_added() -> None:
    own = (b"content-security-policy", b"sandbox")
    assert [name for name, _ in answered(own)] == [b"content-security-policy"] * 2
    assert answered(own)[0] == own


def test_the_policy_names_no_host() -> None:
    assert "//" not in CONTENT_SECURITY_POLICY and "*" not in CONTENT_SECURITY_POLICY

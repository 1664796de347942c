"""A real mail server (aiosmtpd) on loopback, with and without STARTTLS, and what it was told."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from servers import free_port


@dataclass
class Mailbox:
    """A handler of aiosmtpd: the order of what a client did, its log-in, and the messages."""

    steps: list[str] = field(default_factory=list)
    login: tuple[str, str] = ("", "")
    recipients: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def handle_STARTTLS(self, *_: Any) -> bool:
        self.steps.append("STARTTLS")
        return True

    def authenticate(self, *session: Any) -> AuthResult:
        """Take any log-in and note it."""
        self.steps.append("AUTH")
        name, password = session[-1]
        self.login = (name.decode(), password.decode())
        return AuthResult(success=True)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.steps.append("MAIL")
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.steps.append("DATA")
        self.recipients += envelope.rcpt_tos
        self.messages.append(bytes(envelope.content or b"").decode())
        return "250 taken"


@contextmanager
def mail_server(tls: tuple[Path, Path] | None) -> Iterator[tuple[int, Mailbox]]:
    """Serve a mailbox. With ``tls`` it demands STARTTLS and a log-in before any message."""
    mailbox, options = Mailbox(), {}
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
        options = {"tls_context": context, "require_starttls": True}
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=mailbox.authenticate,
        auth_required=bool(tls),
        **options,
    )
    controller.start()
    try:
        yield controller.port, mailbox
    finally:
        controller.stop()

"""A mail server on loopback that speaks enough SMTP to take a message, with and without STARTTLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any


@contextmanager
def mail_server(tls: tuple[Path, Path] | None) -> Iterator[tuple[int, list[str]]]:
    """An SMTP server and all that it was told; with ``tls`` it offers STARTTLS."""
    heard: list[str] = []

    class Session(StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                heard.append(line)
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self.say("250-here", *(["250-STARTTLS"] if tls else []), "250 AUTH PLAIN")
                elif verb == "STARTTLS":
                    self.say("220 go")
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(*tls)  # type: ignore[misc]
                    self.connection = context.wrap_socket(self.connection, server_side=True)
                    self.setup()
                elif verb == "AUTH":
                    self.say("235 welcome")
                elif verb == "DATA":
                    self.say("354 go")
                    while (part := self.rfile.readline().decode().strip()) != ".":
                        heard.append(part)
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def setup(self) -> None:
            self.request = getattr(self, "connection", self.request)
            super().setup()

        def say(self, *lines: str) -> None:
            self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    class Server(ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Stay quiet: the client that refuses a certificate hangs up."""

    server = Server(("127.0.0.1", 0), Session)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1], heard
    finally:
        server.shutdown()
        server.server_close()

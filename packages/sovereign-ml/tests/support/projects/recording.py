"""Record what a sealed network namespace asks for: a resolver that answers every name, a sniffer for bare addresses."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections import Counter


class Record:
    """What was asked for: names with the kind of question, addresses with protocol and port."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.sinks: dict[str, str] = {}

    def name(self, name: str, how: str) -> None:
        """Count one question for ``name``."""
        self.seen[name, how] += 1

    def address(self, address: str, how: str) -> None:
        """Count one packet; a sink address stands for the name that was given it."""
        self.seen[self.sinks.get(address, address), how] += 1

    def sink_for(self, name: str) -> str:
        """A distinct address of 198.18.0.0/15 (RFC 2544) for each name."""
        number = len(self.sinks) + 1
        known = next((address for address, owner in self.sinks.items() if owner == name), None)
        sink = known or f"198.18.{number // 250}.{number % 250 + 1}"
        self.sinks[sink] = name
        return sink


def read_question(query: bytes) -> tuple[str, int, int]:
    """Name, type and end offset of the question in a DNS message (RFC 1035, 4.1.2)."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
        at += query[at] + 1
    return ".".join(labels).lower(), struct.unpack(">H", query[at + 1 : at + 3])[0], at + 5


def answer(query: bytes, record: Record) -> bytes:
    """Record the question; give every A question its sink, everything else an empty answer.

    A name below ``invalid`` does not exist anywhere (RFC 6761, 6.4), so it does not here.
    """
    name, kind, end = read_question(query)
    record.name(name, {1: "A", 28: "AAAA"}.get(kind, f"type {kind}"))
    found, exists = b"", not name.endswith(".invalid")
    if kind == 1 and exists:
        found = (
            b"\xc0\x0c"
            + struct.pack(">HHIH", 1, 1, 60, 4)
            + socket.inet_aton(record.sink_for(name))
        )
    return (
        query[:2]
        + struct.pack(">HHHHH", 0x8180 if exists else 0x8183, 1, bool(found), 0, 0)
        + query[12:end]
        + found
    )


def serve_names(record: Record) -> None:
    """Answer UDP questions on 127.0.0.1:53 for ever."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def loop() -> None:
        while True:
            query, client = server.recvfrom(4096)
            server.sendto(answer(query, record), client)

    threading.Thread(target=loop, daemon=True).start()


def destination(packet: bytes) -> tuple[str, str] | None:
    """``(address, "tcp 443")`` of a first packet to an address outside loopback, else None."""
    kind = struct.unpack(">H", packet[12:14])[0]
    if kind == 0x0800:
        address, protocol, start = (
            socket.inet_ntoa(packet[30:34]),
            packet[23],
            14 + (packet[14] & 15) * 4,
        )
    elif kind == 0x86DD:
        address, protocol, start = socket.inet_ntop(socket.AF_INET6, packet[38:54]), packet[20], 54
    else:
        return None
    payload = packet[start:]
    if ipaddress.ip_address(address).is_loopback or len(payload) < 4:
        return None
    port = struct.unpack(">H", payload[2:4])[0]
    if protocol == 6:
        is_first = len(payload) > 13 and payload[13] & 0x12 == 0x02
        return (address, f"tcp {port}") if is_first else None
    return address, f"udp {port}" if protocol == 17 else f"protocol {protocol}"


def sniff(record: Record) -> None:
    """Watch the only interface there is."""
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind(("lo", 0))

    def loop() -> None:
        while True:
            packet, origin = sniffer.recvfrom(65535)
            outgoing_copy = origin[2] == 4
            if not outgoing_copy and (found := destination(packet)) is not None:
                record.address(*found)

    threading.Thread(target=loop, daemon=True).start()

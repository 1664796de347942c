"""The egress guard refuses, says why, counts and follows into children. A hook stays, so each test is a child."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from small_project import LIBRARY
from sovereign_ml.egress import guard

BOOT = Path(guard.__file__).with_name("boot")


def python(code: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": str(LIBRARY), **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ask(event: str, address: str, *allowed: str) -> str:
    """``passed`` or ``refused``: ask the hook itself, so that nothing is sent even where a network is."""
    answer = python(f"""
        import sys
        from sovereign_ml.egress import guard
        guard.install({list(allowed)!r})
        try:
            sys.audit("socket.{event}", {address})
            print("passed")
        except OSError:
            print("refused")
    """)
    return answer.stdout.strip()


def test_a_name_look_up_is_refused_with_one_line_that_names_host_caller_and_setting():
    answer = python("""
        from sovereign_ml.egress import guard
        guard.install(["s3.fr-par.scw.cloud"], profile="eu")
        import socket
        for _ in range(3):
            try:
                socket.getaddrinfo("collector.example", 443)
            except OSError as error:
                seen = error
        print(type(seen).__name__, *guard.summary())
    """)
    assert answer.stdout.startswith(
        "EgressRefusedError The egress guard refused collector.example 3 times to __main__:7: "
    )
    (line,) = answer.stderr.splitlines()
    assert line == (
        "Refused getaddrinfo to collector.example from __main__:7: only loopback and the hosts of [profile.eu] in "
        "config.toml are allowed. Add the host there if the policy permits it."
    )


def test_refusals_are_summed_up_in_one_line_for_each_host_and_caller():
    answer = python("""
        from sovereign_ml.egress import guard
        guard.install(profile="eu")
        import socket
        for host in ("a.example", "b.example", "b.example"):
            try:
                socket.gethostbyname(host)
            except OSError:
                pass
        print(*guard.summary(), sep="\\n")
    """)
    assert answer.stdout.splitlines() == [
        "The egress guard refused a.example once to __main__:7: not among the hosts of [profile.eu] in config.toml.",
        "The egress guard refused b.example 2 times to __main__:7: not among the hosts of [profile.eu] in config.toml.",
    ]


def test_a_connection_costs_less_than_five_microseconds():
    answer = python("""
        import socket, sys, timeit
        socket.getaddrinfo = lambda *a, **k: [(2, 1, 6, "", ("192.0.2.9", 443))]
        ask = (
            'sys.audit("socket.getaddrinfo", "s3.acme.eu", 443, 0, 0, 0); socket.getaddrinfo("s3.acme.eu", 443);'
            'sys.audit("socket.connect", None, ("192.0.2.9", 443))'
        )
        from sovereign_ml.egress import guard
        best = lambda: min(timeit.repeat(ask, globals=globals(), repeat=20, number=500)) / 500
        without = best()
        guard.install(["s3.acme.eu"])
        print(best() - without)
    """)
    assert 0 < float(answer.stdout) < 5e-6, answer.stderr


def test_an_http_client_of_the_standard_library_is_refused():
    answer = python("""
        from sovereign_ml.egress import guard
        guard.install()
        import urllib.request
        try:
            urllib.request.urlopen("http://203.0.113.7:8000/")
        except OSError as error:
            print(error)
    """)
    assert "to 203.0.113.7 from __main__:6" in answer.stdout


def test_asyncio_is_refused_outside_and_works_on_loopback_and_unix_sockets(tmp_path):
    answer = python(f"""
        from sovereign_ml.egress import guard
        guard.install()
        import asyncio

        async def talk():
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
            await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
            await asyncio.start_unix_server(lambda reader, writer: writer.close(), {str(tmp_path / "s")!r})
            await asyncio.open_unix_connection({str(tmp_path / "s")!r})
            try:
                await asyncio.open_connection("updates.example", 80)
            except OSError as error:
                print("refused" if "updates.example" in str(error) else error)

        asyncio.run(talk())
        print(*guard.summary())
    """)
    refused, summary = answer.stdout.splitlines()
    assert refused == "refused", answer.stderr
    assert "refused updates.example once to " in summary


@pytest.mark.parametrize(
    ("event", "address", "allowed", "verdict"),
    [
        ("connect", "None, ('127.8.9.10', 80)", [], "passed"),
        ("connect", "None, ('::1', 80, 0, 0)", [], "passed"),
        ("connect", "None, ('::ffff:127.0.0.1', 80, 0, 0)", [], "passed"),
        ("connect", "None, ('169.254.169.254', 80)", [], "refused"),
        ("connect", "None, ('::ffff:169.254.169.254', 80, 0, 0)", [], "refused"),
        ("connect", "None, ('10.1.2.3', 5432)", ["10.0.0.0/8"], "passed"),
        ("connect", "None, ('11.1.2.3', 5432)", ["10.0.0.0/8"], "refused"),
        ("connect", "None, ('2001:db8::1', 443, 0, 0)", ["2001:db8::/32"], "passed"),
        ("sendto", "None, ('8.8.8.8', 53)", [], "refused"),
        ("sendmsg", "None, ('8.8.8.8', 53)", [], "refused"),
        ("connect", "None, '/run/postgresql/.s.PGSQL.5432'", [], "passed"),
        ("connect", "None, (0, 0)", [], "passed"),
        ("getaddrinfo", "'db.internal.', 5432", ["db.internal:5432"], "passed"),
        ("getaddrinfo", "b'DB.Internal', 5432", ["db.internal"], "passed"),
        ("getaddrinfo", "'bucket.s3.fr-par.scw.cloud', 443", ["*.scw.cloud"], "passed"),
        ("getaddrinfo", "'evilscw.cloud', 443", ["*.scw.cloud"], "refused"),
        ("getaddrinfo", "'db.internal.evil.example', 443", ["db.internal"], "refused"),
        ("getaddrinfo", "'notlocalhost', 80", [], "refused"),
        ("getaddrinfo", "None, 80", [], "passed"),
        ("gethostbyname", "'example.com',", [], "refused"),
    ],
)
def test_what_passes_and_what_is_refused(event, address, allowed, verdict):
    assert ask(event, address, *allowed) == verdict


def test_addresses_that_an_allowed_name_resolved_to_may_be_connected_to():
    answer = python("""
        import socket, sys
        socket.getaddrinfo = lambda *a, **k: [(2, 1, 6, "", ("192.0.2.9", 443))]
        from sovereign_ml.egress import guard
        guard.install(["s3.fr-par.scw.cloud"])
        try:
            sys.audit("socket.connect", None, ("192.0.2.9", 443))
        except OSError:
            print("refused before")
        socket.getaddrinfo("s3.fr-par.scw.cloud", 443)
        sys.audit("socket.connect", None, ("192.0.2.9", 443))
        print("passed after")
    """)
    assert answer.stdout.splitlines() == ["refused before", "passed after"], answer.stderr


def test_installing_twice_keeps_one_hook_and_takes_the_newer_allow_list():
    answer = python("""
        import socket
        from sovereign_ml.egress import guard
        guard.install(["old.example"])
        resolver = socket.getaddrinfo
        guard.install(["new.example"])
        assert socket.getaddrinfo is resolver
        try:
            socket.getaddrinfo("old.example", 1)
        except OSError:
            print(*guard.summary())
    """)
    assert "refused old.example once to " in answer.stdout, answer.stderr


def child_environment(allowed: list[str], record: Path | None = None) -> dict[str, str]:
    environ = {"PYTHONPATH": str(LIBRARY)}
    guard.extend_to_children(environ, allowed, profile="eu", record=record)
    guard.extend_to_children(environ, allowed, profile="eu", record=record)
    assert environ["PYTHONPATH"].split(":") == [str(BOOT), str(LIBRARY)]
    return environ


def test_children_and_their_children_are_guarded_before_their_first_import(tmp_path):
    record = tmp_path / "refused.jsonl"
    code = "import socket; socket.gethostbyname('phone-home.example')"
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    answer = python(grandchild, child_environment(["s3.fr-par.scw.cloud"], record))
    assert "EgressRefusedError" in answer.stderr
    (line,) = record.read_text().splitlines()
    assert json.loads(line)["host"] == "phone-home.example"


def test_the_guard_leaves_the_search_path_of_a_child_as_it_was():
    show = "import sys; print(*sys.path, sep='\\n')"
    guarded = python(show, child_environment([])).stdout.splitlines()
    assert [entry for entry in guarded if entry != str(BOOT)] == python(show).stdout.splitlines()


def test_an_unreadable_setting_allows_loopback_only():
    environ = child_environment(["*.example"]) | {guard.VARIABLE: "{broken"}
    answer = python("import socket; socket.gethostbyname('a.example')", environ)
    assert "EgressRefusedError" in answer.stderr


def test_a_process_that_cannot_load_its_guard_does_not_run(tmp_path):
    broken = tmp_path / "sovereign_ml" / "egress" / "guard.py"
    broken.parent.mkdir(parents=True)
    for package in (broken.parent, broken.parents[1]):
        (package / "__init__.py").touch()
    broken.write_text("raise ImportError('half installed')\n")
    answer = python("print('ran')", {"PYTHONPATH": f"{BOOT}:{tmp_path}", guard.VARIABLE: "{}"})
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "could not be installed: half installed" in answer.stderr


def test_the_machine_owners_own_sitecustomize_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('mine')\n")
    environ = child_environment([])
    environ["PYTHONPATH"] += f":{tmp_path}"
    assert python("print('then me')", environ).stdout.split("\n")[:2] == ["mine", "then me"]


@pytest.mark.parametrize(
    ("event", "address"),
    [
        ("connect", 'None, (b"192.0.2.1", 9)'),
        ("sendto", 'None, (bytearray(b"192.0.2.1"), 9)'),
        ("connect", 'None, (type("Text", (str,), {"__str__": lambda s: "::1"})("192.0.2.1"), 9)'),
        (
            "sendmsg",
            'None, type("Pair", (tuple,), {"__getitem__": lambda s, i: "::1"})(("192.0.2.1", 9))',
        ),
        ("getnameinfo", '("192.0.2.1", 9)'),
        ("gethostbyaddr", '"192.0.2.1"'),
    ],
)
def test_no_other_type_and_no_reverse_look_up_passes(event: str, address: str):
    allowed = address.replace("192.0.2.1", "127.0.0.1")
    assert (ask(event, address), ask(event, allowed)) == ("refused", "passed")

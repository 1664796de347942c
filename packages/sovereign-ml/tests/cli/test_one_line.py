"""What goes wrong beside the work of a command is told in one line, and is no trace."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sovereign_ml.card.build import CardError
from sovereign_ml.cli import card, console, servers
from sovereign_ml.cli.watch import monitor
from sovereign_ml.errors import Misuse
from sovereign_ml.project import STANDARD_STEPS
from sovereign_ml.registry import signatures
from sovereign_ml.servers import doctor
from sovereign_ml.servers.health_checks import Trouble


def test_a_manifest_may_be_written_outside_the_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for output in ("build", str(tmp_path / "elsewhere")):
        servers._write_manifest(tmp_path / "acme-churn", Path(output, "katib.yaml"), {"kind": "x"})
    assert capsys.readouterr().out == (
        "Wrote build/katib.yaml: kubectl apply -f it\n"
        f"Wrote {tmp_path}/elsewhere/katib.yaml: kubectl apply -f it\n"
    )


def test_a_way_back_with_keys_that_cannot_be_believed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SimpleNamespace(root=tmp_path, tracking=SimpleNamespace(project="acme-churn"))

    def broken(root: Path) -> None:
        raise CardError("governance/allowed_signers was removed")

    monkeypatch.setattr(card, "load_settings", lambda profile: settings)
    monkeypatch.setattr(signatures, "decisions", broken)
    with pytest.raises(Misuse, match="allowed_signers was removed"):
        card.promote("Ada Lovelace", "the scores are wrong", back=True)


@pytest.mark.parametrize("host", ["db..acme.eu", "a" * 64 + ".eu"])
def test_a_host_that_no_name_server_could_be_asked_for_is_trouble(host: str) -> None:
    with pytest.raises(Trouble, match="does not resolve"):
        doctor._connect(host, "postgresql", 5432)


def test_a_card_that_cannot_be_read_is_named_and_declares_nobody(tmp_path: Path) -> None:
    path = tmp_path / "model_card.toml"
    path.write_text("[hosting\n")
    law, advice = doctor._jurisdiction("db.unknown-owner.eu", path)
    assert law == "SELF_DECLARED" and advice.startswith("model_card.toml cannot be read")


@pytest.mark.parametrize("text", ["rows of [shop]", "read [/data/in.csv]", "[bold]", "a\\[b]"])
def test_square_brackets_are_printed_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(console, "out", console.Console(highlight=False, width=400))
    with console.working(STANDARD_STEPS[0]) as done:
        done({"seconds": 1.0, "headline": text})
    state = SimpleNamespace(status="ok", name="groups", found=text)
    report = SimpleNamespace(
        states=[state], model_version="3", day="2026-06-30", status="ok", alarms=[]
    )
    monitor._print(report, Path(text, "monitor.html"))  # type: ignore[arg-type]
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.endswith(f"  {text}") and second.endswith(f" {text}")
    assert third.endswith(f"Page: {text}/monitor.html")

"""`make leave-demo` with a small account: every phase from the dump to the proof."""

from __future__ import annotations

from pathlib import Path

from leave_demo import demo


def test_the_demo_goes_from_the_dump_to_the_proof_where_nothing_can_leave(tmp_path: Path) -> None:
    lines: list[str] = []
    demo(tmp_path, runs=6, kills=3, say=lines.append)
    titles = [line.strip() for line in lines if line.startswith("\n== ")]
    assert [title.split(":")[0] for title in titles] == [
        f"== Phase {n}" for n in (1, 1, 1, 1, 2, 2, 3, 3, 3)
    ]

"""The newest wireguard-go: asked for once a run, with a Go that is only a script."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.compare import implementations
from bench.compare.implementations import Missing, newest_wireguard_go

OLD, NEW = "v0.0.0-20250521000000-abc", "v0.0.0-20260522000000-abc"
GO = """\
#!/bin/sh
echo "$1" >>{folder}/asked
case $1 in
  list) cat {folder}/newest ;;
  install) test ! -e {folder}/hangs || exec sleep 60; echo built >"$GOBIN/wireguard" ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The script's folder: `newest` is what the proxy says, without it there is no answer.

    With `hangs` there no build ends.
    """
    script = tmp_path / "go"
    script.write_text(GO.format(folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(implementations, "CACHE", tmp_path / "cache")
    implementations._look_for_wireguard_go.cache_clear()
    yield tmp_path
    implementations._look_for_wireguard_go.cache_clear()


def built(go: Path, version: str) -> Path:
    program = go / "cache" / f"wireguard-go-{version}" / "wireguard"
    program.parent.mkdir(parents=True)
    program.touch()
    return program


def test_an_old_build_is_noticed(go: Path) -> None:
    old = built(go, OLD)
    (go / "newest").write_text(NEW)
    program, note = newest_wireguard_go()
    assert (program.parent.name, note) == (f"wireguard-go-{NEW}", "")
    assert old.exists()


def test_it_is_asked_for_and_built_once(go: Path) -> None:
    (go / "newest").write_text(NEW)
    assert newest_wireguard_go() == newest_wireguard_go()
    assert (go / "asked").read_text().split() == ["list", "install"]


def test_what_is_built_already_is_used(go: Path) -> None:
    built(go, NEW)
    (go / "newest").write_text(NEW)
    newest_wireguard_go()
    assert (go / "asked").read_text().split() == ["list"]


def test_without_an_answer_it_is_the_newest_that_is_built(go: Path) -> None:
    built(go, OLD)
    newer = built(go, NEW)
    program, note = newest_wireguard_go()
    assert program == newer
    assert note.startswith("perhaps not the newest wireguard-go: go list")


def test_without_an_answer_and_a_build_there_is_none_and_nobody_asks_again(go: Path) -> None:
    for _ in range(2):
        with pytest.raises(Missing, match="go list"):
            newest_wireguard_go()
    assert (go / "asked").read_text().split() == ["list"]


def test_a_build_that_hangs_is_given_up(go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementations, "GO_BUILD_TIMEOUT", 0.2)
    (go / "newest").write_text(NEW)
    (go / "hangs").touch()
    with pytest.raises(Missing, match=r"no answer in 0\.2 s"):
        newest_wireguard_go()

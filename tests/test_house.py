"""The rules of the house that no other tool can see. They are described in CONTRIBUTING.md.

Nothing here is about behaviour: these tests read the tree, the contracts and the built module's
face, and say by name which file breaks which rule.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "kubespan"
TESTS = REPOSITORY / "tests"

# Folders of tests that are about several modules at once, so that they mirror none.
GATHERINGS = {
    "bench",
    "fastpath",
    "interop",
    "kernel_scenarios",
    "mesh_scenarios",
    "netns",
    "simulated",
    "tools",
}

# Modules without a test file of their own, each with its reason.
UNTESTED: dict[str, str] = {}

# Test files without a module of their own, each with its reason.
UNMIRRORED: dict[str, str] = {
    "test_house.py": "the rules of the whole tree",
}

# Modules that import one of ours inside a function, each with its reason.
LAZY: dict[str, str] = {
    "cli/wg.py": "the process that returns at once has no use for what serves",
    "fastpath/door.py": "the pure build has no native module to import",
}

LONGEST_FUNCTION = 40
NAMES_WITHOUT_AN_IDEA = {"base", "common", "helper", "helpers", "misc", "util", "utils"}

# Folders of one machine, and hosts that a package manager knows by itself.
FORBIDDEN_WORDS = re.compile(
    r"""
    (?<![\w.~}]) / (?:work|farm|root|home/\w+|tmp/\w) /
    | pypi[.]org | pythonhosted[.]org | proxy[.]golang[.]org | npmjs[.]org
    | /[.]library\b
    """,
    re.VERBOSE,
)

MARKDOWN_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
NAMED_PATH = re.compile(r"`((?:kubespan|tests|bench|tools|docs)/[\w./-]+[\w/])`")
ADR_NAME = re.compile(r"(\d{4})-[a-z0-9-]+\.md")


def modules() -> list[str]:
    """Return every module of the package, as a path below it."""
    found = (path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    without = ("__init__.py", "__main__.py", "_pb2.py")
    return sorted(name for name in found if not name.endswith(without))


def mirrored_tests() -> list[str]:
    """Return every test file that should mirror a module, as a path below tests."""
    found = (path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    return sorted(path.as_posix() for path in found if path.parts[0] not in GATHERINGS)


def mirror(module: str) -> str:
    """Return where the test of a module is."""
    path = Path(module)
    return (path.parent / f"test_{path.name}").as_posix()


def tracked_text() -> dict[str, str]:
    """Return every text file under version control, by its name."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a checkout, so nothing says which files are tracked")
    listed = subprocess.run(
        ("git", "ls-files", "-z"), cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = REPOSITORY / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[name] = content.decode()
    return texts


def documents() -> list[Path]:
    """Return the pages that a reader meets."""
    return sorted((*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")))


def sources(*patterns: str) -> list[Path]:
    """Return the package's files that match."""
    return sorted(path for pattern in patterns for path in PACKAGE.rglob(pattern))


# -------------------------------------------------------------------------------- the mirror


def test_every_module_has_its_test_file() -> None:
    alone = [m for m in modules() if not (TESTS / mirror(m)).is_file() and m not in UNTESTED]
    assert alone == []


def test_every_test_file_has_its_module() -> None:
    mirrors = {mirror(module) for module in modules()}
    assert [t for t in mirrored_tests() if t not in mirrors and t not in UNMIRRORED] == []


def test_exemptions_are_still_needed() -> None:
    idle = [m for m in UNTESTED if not (PACKAGE / m).is_file() or (TESTS / mirror(m)).is_file()]
    assert idle + [t for t in UNMIRRORED if not (TESTS / t).is_file()] == []


# -------------------------------------------------------------------------------- the floors


def test_floors_keep_their_contracts() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        (linter, "--no-logo"), cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_door_to_the_native_module() -> None:
    imports = re.compile(r"^[ \t]*(?:from|import)\s.*\b_fastpath\b", re.MULTILINE)
    importers = [path for path in sources("*.py") if imports.search(path.read_text())]
    assert [path.relative_to(PACKAGE).as_posix() for path in importers] == ["fastpath/native.py"]


def test_native_module_imports_nothing_of_ours() -> None:
    imports = re.compile(r"^[ \t]*(?:from|c?import)\s+kubespan\b(?!\._fastpath\b)", re.MULTILINE)
    native = sources("*.pyx", "*.pxd")
    assert native != []
    assert [path.name for path in native if imports.search(path.read_text())] == []


def test_native_headers_know_no_python() -> None:
    c_files = sources("native/*.[ch]")
    assert [path.name for path in c_files if "Python.h" in path.read_text()] == []


def test_no_circle_is_hidden_from_the_lint() -> None:
    hidden = re.compile(r"\bTYPE_CHECKING\b|^[ \t]+(?:from|import)\s+kubespan\b", re.MULTILINE)
    names = {
        p.relative_to(PACKAGE).as_posix() for p in sources("*.py") if hidden.search(p.read_text())
    }
    assert names - LAZY.keys() == set()


def test_modules_are_named_by_an_idea() -> None:
    assert [m for m in modules() if Path(m).stem in NAMES_WITHOUT_AN_IDEA] == []


# ---------------------------------------------------------------------------- the native face


@pytest.mark.native
def test_stub_matches_the_build(tmp_path: Path) -> None:
    built = [suffix for suffix in EXTENSION_SUFFIXES if (PACKAGE / f"_fastpath{suffix}").exists()]
    if not built:
        pytest.skip("the native module is not built")
    allowed = tmp_path / "allowed"
    allowed.write_text("kubespan._fastpath.__test__\n")
    command = (sys.executable, "-m", "mypy.stubtest", "--allowlist", str(allowed))
    environment = {**os.environ, "MYPYPATH": str(REPOSITORY), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        (*command, "--ignore-unused-allowlist", "kubespan._fastpath"),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------ what is written


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for path in sources("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.body[0].lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_no_tracked_file_knows_one_machine() -> None:
    found = [
        f"{name}: {match[0]}"
        for name, text in tracked_text().items()
        if (match := FORBIDDEN_WORDS.search(text)) and name != "tests/test_house.py"
    ]
    assert found == []


def test_commands_can_be_run() -> None:
    tools = REPOSITORY / "tools"
    commands = [path for path in tools.iterdir() if path.is_file() and not path.suffix]
    commands.append(REPOSITORY / ".ci" / "run")
    assert [path.name for path in commands if not os.access(path, os.X_OK)] == []


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_pages_name_only_what_exists(page: Path) -> None:
    text = page.read_text()
    links = [
        target for target in MARKDOWN_LINK.findall(text) if not (page.parent / target).exists()
    ]
    paths = [path for path in NAMED_PATH.findall(text) if not (REPOSITORY / path).exists()]
    assert links + paths == []


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (REPOSITORY / "docs" / "adr").glob("*.md"))
    numbers = [match[1] for name in names if (match := ADR_NAME.fullmatch(name))]
    assert len(numbers) == len(names)
    assert numbers == [f"{number:04}" for number in range(1, len(names) + 1)]

"""The tree's own rules, read off its source: sizes, names, unfinished marks, docstrings, generated files.

Each rule's reason stands beside it. An exception is granted by name in `EXCEPTIONS`, with its reason.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    "component_base",
    "apimachinery",
    "kubeclient",
    "serving",
    "etcd_raft",
    "apiserver",
    "scheduler",
    "controller_manager",
    "kubelet",
    "kube_proxy",
    "cluster_dns",
    "skiff",
]
FUNCTION_LINES = 70  # 96-100 % of functions in the code bases we learn from comply
FILE_LINES = 600  # what shares a file, more than function length, decides whether a tree tires its reader
TEST_FILE_LINES = 800
BANNED_NAMES = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)(_|\.py$)")

#: path -> reason; keep it short
EXCEPTIONS: dict[str, str] = {
    "controller_manager": "the service carries upstream's name",
}


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return [ROOT / line for line in listing if line and (ROOT / line).is_file()]


def sources() -> list[Path]:
    return [p for p in tracked("*.py") if p.relative_to(ROOT).parts[0] in PACKAGES]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def length_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def test_functions_stay_within_the_budget() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{f.lineno} {f.name} {length_without_docstring(f)}"
        for path in sources()
        for f in functions(ast.parse(path.read_text()))
        if length_without_docstring(f) > FUNCTION_LINES
    ]
    assert not long, "split into a decision and an action:\n" + "\n".join(long)


def test_files_stay_within_the_budget() -> None:
    long = [
        f"{path.relative_to(ROOT)} {lines}"
        for path in [*sources(), *tracked("tests/*.py", "bench/*.py")]
        if (lines := len(path.read_text().splitlines()))
        > (TEST_FILE_LINES if path.relative_to(ROOT).parts[0] == "tests" else FILE_LINES)
        and str(path.relative_to(ROOT)) not in EXCEPTIONS
    ]
    assert not long, "split by subject:\n" + "\n".join(long)


def test_file_names_say_what_the_file_decides() -> None:
    bad = [
        str(path.relative_to(ROOT))
        for path in sources()
        if any(BANNED_NAMES.search(part) and part not in EXCEPTIONS for part in path.relative_to(ROOT).parts)
    ]
    assert not bad, bad


@pytest.mark.parametrize("mark", ["TO" + "DO", "FIX" + "ME", "XX" + "X"])
def test_nothing_is_left_marked_unfinished(mark: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*sources(), *tracked("tests/*.py", "bench/*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(rf"\b{mark}\b", line)
    ]
    assert not found, found


def test_every_module_says_what_it_holds() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if len(path.read_text().splitlines()) > 20 and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert not silent, silent


def test_generated_messages_agree_with_the_contracts() -> None:
    subprocess.run([sys.executable, str(ROOT / "proto" / "generate.py"), "--check"], check=True)


def test_requirements_name_no_package_host() -> None:
    named = [
        f"{path.name}:{number}"
        for path in (ROOT / "requirements").glob("*")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "://" in line or "index-url" in line or "find-links" in line
    ]
    assert not named, named


def test_every_link_in_the_documents_leads_somewhere() -> None:
    broken = []
    for page in tracked("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not broken, broken

"""Objects out of files, folders, standard input and URLs; lists are taken apart."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from skiff.ctl.failures import Failure

_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_SUFFIXES = (".json", ".yaml", ".yml")


def filename_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("-R", "--recursive", is_flag=True, help="Folders within folders too."),
        click.option("-k", "--kustomize", default="", hidden=True),
        click.option("-f", "--filename", multiple=True, help="File, folder, URL, or - for standard input."),
    ):
        function = option(function)
    return function


def load(names: Sequence[str], recursive: bool = False, kustomize: str = "") -> list[dict[str, Any]]:
    """Raises Failure where there is nothing to read or what is read is no object."""
    if kustomize:
        raise Failure("-k is not supported; pipe the output of kustomize into -f -")
    found: list[dict[str, Any]] = []
    for name in names:
        for source, text in _texts(name, recursive):
            for document in documents(text, source):
                found += items(document, source)
    if not found:
        raise Failure("no objects passed to " + (click.get_current_context().info_name or "this command"))
    return found


def _texts(name: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "standard input", sys.stdin.read()
        return
    if name.startswith(("http://", "https://")):
        import httpx

        answer = httpx.get(name, follow_redirects=True)
        if answer.status_code != 200:
            raise Failure(f'unable to read URL "{name}", server reported {answer.status_code}')
        yield name, answer.text
        return
    path = Path(name)
    if not path.exists():
        raise Failure(f'the path "{name}" does not exist')
    if not path.is_dir():
        yield name, path.read_text()
        return
    for file in sorted(path.rglob("*") if recursive else path.iterdir()):
        if file.is_file() and file.suffix in _SUFFIXES:
            yield str(file), file.read_text()


def documents(text: str, source: str) -> list[Any]:
    """The documents of YAML or JSON; YAML as Kubernetes reads it (times stay text)."""
    if text.lstrip().startswith("{"):
        try:
            return [json.loads(text)]
        except ValueError:
            pass  # several of them, or YAML in flow style
    from apimachinery.schema import yaml_body
    from apimachinery.schema.json_body import SyntaxProblem

    try:
        return [yaml_body.parse(part.encode())[0] for part in _SEPARATOR.split(text) if part.strip()]
    except SyntaxProblem as error:
        raise Failure(f"error parsing {source}: {error}") from None


def items(document: Any, source: str) -> list[dict[str, Any]]:
    if document is None:
        return []
    if not isinstance(document, dict):
        raise Failure(f"error parsing {source}: a document is no object")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        return [one for item in document["items"] for one in items(item, source)]
    for key in ("apiVersion", "kind"):
        if not document.get(key):
            raise Failure(f'error validating "{source}": error validating data: {key} not set')
    return [document]

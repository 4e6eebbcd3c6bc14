"""Write `apimachinery/schema/field_facts.json` from a checkout of Kubernetes: `kubernetes_fields.py STAGING`.

STAGING is `staging/src/k8s.io`. The schemas lack two facts about a field, which its struct tags tell: its protobuf
number, and whether its zero value is left out of JSON (`z`). A type's line lists them as `name:number[z]`; an embedded
struct, whose fields JSON shows as its parent's, as `@type:number`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from apimachinery.schema import definitions

TARGET = Path(__file__).resolve().parent.parent / "apimachinery" / "schema" / "field_facts.json"
_SERVED = re.compile(r"\.(?:v1|autoscaling\.v2)\.[A-Za-z0-9]+$")
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\t(?:(\w+)[ \t]+)?([^`\n]+?)[ \t]*`([^`]+)`", re.MULTILINE)
_JSON = re.compile(r'json:"([^"]*)"')
_NUMBER = re.compile(r'protobuf:"\w+,(\d+),')


def folder(staging: Path, package: str) -> Path:
    """Where the Go package behind a definition's prefix lies."""
    head, _, rest = package.removeprefix("io.k8s.").partition(".")
    return staging / head / rest.replace(".", "/")


def structs(source: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(source.glob("*.go")):
        if not path.name.endswith("_test.go"):
            found.update(_STRUCT.findall(path.read_text()))
    return found


def line(body: str) -> tuple[str, list[str]]:
    """A struct's facts and the names of the structs embedded in it."""
    facts, embedded = [], []
    for name, kind, tags in _FIELD.findall(body):
        shown, number = _JSON.search(tags), _NUMBER.search(tags)
        if shown is None or number is None or kind.startswith("//"):
            continue
        field, *options = shown.group(1).split(",")
        if "inline" in options or (not field and not name):
            embedded.append(kind.lstrip("*"))
            facts.append(f"@{kind.lstrip('*')}:{number.group(1)}")
        elif field and field != "-":
            left_out = "omitempty" in options and not kind.startswith("*")
            facts.append(f"{field}:{number.group(1)}{'z' if left_out else ''}")
    return " ".join(facts), embedded


def collect(staging: Path) -> dict[str, str]:
    facts: dict[str, str] = {}
    names = [name for name in definitions.load() if _SERVED.search(name)]
    packages: dict[str, dict[str, str]] = {}
    while names:
        full = names.pop()
        package, _, name = full.rpartition(".")
        if package not in packages:
            packages[package] = structs(folder(staging, package))
        body = packages[package].get(name)
        if body is None or full in facts:
            continue
        facts[full], embedded = line(body)
        names.extend(f"{package}.{one}" for one in embedded)
    return dict(sorted((name, text) for name, text in facts.items() if text))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: kubernetes_fields.py STAGING, the folder staging/src/k8s.io of a Kubernetes checkout")
    TARGET.write_text(json.dumps(collect(Path(sys.argv[1])), indent=0) + "\n")

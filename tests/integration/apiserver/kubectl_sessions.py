"""Sessions with kubectl, written down as a reader would see them in a terminal: `kubectl/*.txt`.

    # why                                    a comment
    $ create configmap c --from-literal=a=b  kubectl's arguments
    configmap/c created                      must be seen, in either output stream, in this order; blanks count as one
    not: error                               must not be seen
    ! get configmap d                        must fail
    $1.29 auth whoami                        only from this minor version on
    $-1.30 get x                             only up to this one
    $ EDITOR=true edit configmap c           with something in the environment

Each runs in a namespace of its own, $NS here and in its files, and in a folder of its own, a copy of `kubectl/files`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "kubectl"
COMMAND = re.compile(r"(?P<sign>[$!])(?P<until>-)?(?:1\.(?P<minor>\d+))? (?P<words>.*)")
SECONDS = 200.0


@dataclass
class Step:
    """One command and what must be seen of it."""

    line: str
    words: list[str]
    succeeds: bool = True
    oldest: int = 0
    newest: int = 999
    seen: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def judge(self, code: int, output: str) -> str:
        """What is wrong, or nothing."""
        if (code == 0) != self.succeeds:
            return f"it ended with {code}"
        text, place = " ".join(output.split()), 0
        for wanted in self.seen:
            found = text.find(" ".join(wanted.split()), place)
            if found < 0:
                return f"this is not to be seen (here): {wanted}"
            place = found
        for unwanted in self.unseen:
            if " ".join(unwanted.split()) in text:
                return f"this is to be seen: {unwanted}"
        return ""


def sessions() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))


def steps(path: Path) -> list[Step]:
    found: list[Step] = []
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if match := COMMAND.fullmatch(line):
            minor = int(match["minor"] or 0)
            oldest, newest = (0, minor) if match["until"] else (minor, 999)
            found.append(Step(line, shlex.split(match["words"]), match["sign"] == "$", oldest, newest))
        elif line.startswith("not: "):
            found[-1].unseen.append(line.removeprefix("not: "))
        else:
            found[-1].seen.append(line)
    return found


@dataclass(frozen=True)
class Terminal:
    """Where a session runs: a kubectl, a namespace, and a folder that is also its HOME."""

    program: Path
    minor: int
    kubeconfig: Path
    namespace: str
    folder: Path

    @classmethod
    def open(cls, program: Path, kubeconfig: Path, namespace: str, folder: Path) -> Terminal:
        home = folder / "home"
        shutil.copytree(FOLDER / "files", home)
        for path in home.rglob("*.yaml"):
            path.write_text(path.read_text().replace("$NS", namespace))
        shutil.copy(kubeconfig, home / "config")
        for suffix in ("crt", "key"):
            shutil.copy(kubeconfig.with_suffix(f".{suffix}"), home / f"tls.{suffix}")
        return cls(program, minor_version(program), home / "config", namespace, home)

    def run(self, words: list[str]) -> tuple[int, str]:
        environment = {**os.environ, "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig)}
        words = [word.replace("$NS", self.namespace) for word in words]
        while re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        argv = [str(self.program), f"--namespace={self.namespace}", *words]
        done = subprocess.run(
            argv, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def play(self, path: Path) -> None:
        """Runs a whole session; the first step that goes wrong ends it."""
        for step in steps(path):
            if not step.oldest <= self.minor <= step.newest:
                continue
            code, output = self.run(list(step.words))
            step.seen = [wanted.replace("$NS", self.namespace) for wanted in step.seen]
            if wrong := step.judge(code, output):
                raise AssertionError(f"{path.name}: {step.line}\n{wrong}\n{output}")


def minor_version(program: Path) -> int:
    said = subprocess.run([program, "version", "--client", "--output=yaml"], capture_output=True, text=True, check=True)
    match = re.search(r'minor: "(\d+)', said.stdout)
    assert match, said.stdout
    return int(match[1])

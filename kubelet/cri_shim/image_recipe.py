"""Images from a Dockerfile without RUN: a base image or nothing, files copied in, and what to run.

That is enough to package a static program, and needs no daemon, no network and no privileges. A Dockerfile with other
instructions is refused with a sentence that names a way: build it with docker or buildah and load the saved file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelet.cri_shim.image_build import FileEntry

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_CONTINUED = re.compile(r"\\[ \t]*\n(?:[ \t]*#[^\n]*\n)*")


class RecipeError(Exception):
    """The Dockerfile cannot be built here; the message has the line."""


@dataclass(slots=True)
class Recipe:
    """What a Dockerfile comes to: base image, one list of files for each COPY, and changes to the image's config."""

    base: str = ""
    layers: list[list[FileEntry]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class _Reader:
    def __init__(self, context: str, arguments: Mapping[str, str]) -> None:
        self.context = os.path.realpath(context)
        self.given = arguments
        self.variables: dict[str, str] = {}
        self.recipe = Recipe()
        self.begun = False
        self.working = "/"

    def handle(self, name: str, rest: str) -> None:
        known: dict[str, Callable[[str], None]] = {
            "FROM": self._from,
            "ARG": self._arg,
            "ENV": self._env,
            "LABEL": self._label,
            "COPY": self._copy,
            "ADD": self._copy,
            "WORKDIR": self._workdir,
            "USER": lambda text: self._set("User", self._expand(text)),
            "CMD": lambda text: self._set("Cmd", _command(text)),
            "ENTRYPOINT": lambda text: self._set("Entrypoint", _command(text)),
            "EXPOSE": self._expose,
            "VOLUME": self._volume,
            "STOPSIGNAL": lambda text: self._set("StopSignal", self._expand(text)),
            "MAINTAINER": lambda text: None,
        }
        if name not in known:
            raise RecipeError(
                f"{name} is not supported: build with docker or buildah, save to a file, and load that with "
                "`skiff image load`"
            )
        if not self.begun and name not in ("FROM", "ARG"):
            raise RecipeError(f"{name} stands before FROM")
        known[name](rest)

    def _set(self, key: str, value: Any) -> None:
        self.recipe.config[key] = value

    def _expand(self, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            return self.variables.get(match[1] or match[3], match[2] or "")

        return _VARIABLE.sub(value, text)

    def _from(self, rest: str) -> None:
        if self.begun:
            raise RecipeError("a second FROM (a build in stages) is not supported")
        words = [word for word in self._expand(rest).split() if not word.startswith("--")]
        if not words:
            raise RecipeError("FROM names no image")
        self.begun = True
        self.recipe.base = "" if words[0] == "scratch" else words[0]

    def _arg(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        self.variables[name.strip()] = self.given.get(name.strip(), self._expand(_unquote(default)))

    def _env(self, rest: str) -> None:
        for name, value in _pairs(rest).items():
            self.variables[name] = self._expand(value)
            entries = [e for e in self.recipe.config.get("Env", []) if not e.startswith(f"{name}=")]
            self._set("Env", [*entries, f"{name}={self.variables[name]}"])

    def _label(self, rest: str) -> None:
        self.recipe.labels.update({name: self._expand(value) for name, value in _pairs(rest).items()})

    def _workdir(self, rest: str) -> None:
        self.working = os.path.normpath(os.path.join(self.working, self._expand(_unquote(rest))))
        self._set("WorkingDir", self.working)
        self.recipe.layers.append([FileEntry(self.working, mode=0o755)])

    def _expose(self, rest: str) -> None:
        ports = self.recipe.config.setdefault("ExposedPorts", {})
        for port in self._expand(rest).split():
            ports[port if "/" in port else f"{port}/tcp"] = {}

    def _volume(self, rest: str) -> None:
        paths = _command(rest) if rest.startswith("[") else self._expand(rest).split()
        self.recipe.config.setdefault("Volumes", {}).update({path: {} for path in paths})

    def _copy(self, rest: str) -> None:
        options = [word for word in rest.split() if word.startswith("--")]
        words = _command(rest) if rest.startswith("[") else shlex.split(self._expand(rest))
        words = [word for word in words if not word.startswith("--")]
        mode, owner = None, (0, 0)
        for option in options:
            name, _, value = option.partition("=")
            if name == "--chmod":
                mode = int(value, 8)
            elif name == "--chown" and re.fullmatch(r"\d+(:\d+)?", value):
                uid, _, gid = value.partition(":")
                owner = (int(uid), int(gid or uid))
            else:
                raise RecipeError(f"COPY {option} is not supported")
        if len(words) < 2:
            raise RecipeError("COPY needs a source and a target")
        *sources, target = words
        absolute = os.path.join(self.working, target)
        into = target.endswith("/") or len(sources) > 1
        entries: list[FileEntry] = []
        for source in sources:
            path = os.path.realpath(os.path.join(self.context, source.lstrip("/")))
            if path != self.context and not path.startswith(self.context + os.sep):
                raise RecipeError(f"{source} is outside of the build's folder")
            if not os.path.exists(path):
                raise RecipeError(f"{source} is not in {self.context}")
            if os.path.isdir(path):
                entries += folder_entries(path, absolute, mode, owner)
            else:
                name = os.path.join(absolute, os.path.basename(path)) if into else absolute
                entries.append(_file_entry(path, os.path.normpath(name), mode, owner))
        self.recipe.layers.append(entries)


def read_recipe(text: str, context: str, arguments: Mapping[str, str] | None = None) -> Recipe:
    """Read a Dockerfile's text; files are taken from the folder `context`. Raises RecipeError."""
    reader = _Reader(context, arguments or {})
    for number, line in enumerate(_CONTINUED.sub(" ", text).splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, _, rest = stripped.partition(" ")
        try:
            reader.handle(name.upper(), rest.strip())
        except (RecipeError, ValueError, OSError) as error:
            raise RecipeError(f"instruction {number}: {error}") from error
    if not reader.begun:
        raise RecipeError("there is no FROM")
    return reader.recipe


def folder_entries(
    folder: str, target: str = "/", mode: int | None = None, owner: tuple[int, int] | None = None
) -> list[FileEntry]:
    """Everything below a folder of the host, as it is to stand below `target` in an image. Devices are left out."""
    entries: list[FileEntry] = []
    for path, folders, files in os.walk(folder):
        inside = os.path.normpath(os.path.join(target, os.path.relpath(path, folder)))
        if inside != "/":
            info = os.lstat(path)
            uid, gid = owner or (info.st_uid, info.st_gid)
            entries.append(FileEntry(inside, mode=stat.S_IMODE(info.st_mode), uid=uid, gid=gid))
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        for name in (*files, *links):
            source = os.path.join(path, name)
            kind = os.lstat(source).st_mode
            if stat.S_ISREG(kind) or stat.S_ISLNK(kind):
                entries.append(_file_entry(source, os.path.join(inside, name), mode, owner))
    return entries


def _file_entry(path: str, target: str, mode: int | None, owner: tuple[int, int] | None) -> FileEntry:
    info = os.lstat(path)
    uid, gid = owner or (info.st_uid, info.st_gid)
    if stat.S_ISLNK(info.st_mode):
        return FileEntry(target, link=os.readlink(path), uid=uid, gid=gid)
    with open(path, "rb") as file:
        content = file.read()
    return FileEntry(target, content, stat.S_IMODE(info.st_mode) if mode is None else mode, uid=uid, gid=gid)


def merged_config(base: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The base image's config with the recipe's on top, as docker merges them."""
    config = {
        **base,
        **{key: value for key, value in recipe.config.items() if key not in ("Env", "ExposedPorts", "Volumes")},
    }
    if "Entrypoint" in recipe.config and "Cmd" not in recipe.config:
        config.pop("Cmd", None)
    environment = dict(entry.partition("=")[::2] for entry in base.get("Env") or [])
    environment.update(entry.partition("=")[::2] for entry in recipe.config.get("Env", []))
    if environment:
        config["Env"] = [f"{name}={value}" for name, value in environment.items()]
    for key in ("ExposedPorts", "Volumes"):
        both = {**(base.get(key) or {}), **recipe.config.get(key, {})}
        if both:
            config[key] = both
    labels = {**(base.get("Labels") or {}), **recipe.labels}
    if labels:
        config["Labels"] = labels
    return config


def _command(text: str) -> list[str]:
    """The JSON form as it is, the other one for a shell."""
    if text.startswith("["):
        loaded = json.loads(text)
        if not isinstance(loaded, list) or not all(isinstance(word, str) for word in loaded):
            raise RecipeError(f"{text} is not a list of strings")
        return loaded
    return ["/bin/sh", "-c", text]


def _pairs(text: str) -> dict[str, str]:
    words = shlex.split(text)
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise RecipeError(f"{word!r} is not of the form name=value")
        pairs[name] = value
    return pairs


def _unquote(text: str) -> str:
    words: Sequence[str] = shlex.split(text)
    return words[0] if words else ""

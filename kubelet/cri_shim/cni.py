"""A CNI client: reads the first network list of a folder and runs its plugins for a sandbox.

What a plugin needs later for DEL (the list as it was, and the result) is returned to the caller, who keeps it in the
sandbox's record: an edited or deleted file must not strand an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SUPPORTED_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
PLUGIN_TIMEOUT = 120.0


class CniError(Exception):
    """The network could not be set up or taken down; the message says by which plugin."""


@dataclass(frozen=True, slots=True)
class NetworkList:
    name: str
    version: str
    plugins: tuple[Mapping[str, Any], ...]

    def to_json(self) -> str:
        return json.dumps({"name": self.name, "cniVersion": self.version, "plugins": list(self.plugins)})


@dataclass(frozen=True, slots=True)
class Attachment:
    """One sandbox's place in the network, with what the plugins may want to know."""

    container_id: str
    netns: str
    interface: str
    args: Mapping[str, str]
    capabilities: Mapping[str, Any]


def parse_network_list(text: str, source: str) -> NetworkList:
    """A .conflist, or a single plugin's .conf taken as a list of one."""
    try:
        loaded = json.loads(text)
    except ValueError as error:
        raise CniError(f"{source} is not JSON: {error}") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("name"), str):
        raise CniError(f"{source} has no network name")
    plugins = loaded.get("plugins", [loaded])
    if not isinstance(plugins, list) or not plugins:
        raise CniError(f"{source} lists no plugins")
    for plugin in plugins:
        if not isinstance(plugin, dict) or not isinstance(plugin.get("type"), str) or "/" in plugin["type"]:
            raise CniError(f"{source} has a plugin without a valid type")
    version = loaded.get("cniVersion") or "0.3.1"
    if version not in SUPPORTED_VERSIONS:
        raise CniError(f"{source} asks for CNI version {version}, which is not supported")
    return NetworkList(loaded["name"], version, tuple(plugins))


def load_network_list(directory: str) -> NetworkList:
    """The first file by name, as every runtime picks it."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith((".conflist", ".conf", ".json")))
    except OSError as error:
        raise CniError(f"cni config folder {directory} cannot be read: {error.strerror}") from error
    if not names:
        raise CniError(f"no network config found in {directory}: cni plugin not initialized")
    path = os.path.join(directory, names[0])
    try:
        with open(path, encoding="utf-8") as file:
            return parse_network_list(file.read(), path)
    except OSError as error:
        raise CniError(f"{path} cannot be read: {error.strerror}") from error


def plugin_input(
    network: NetworkList, plugin: Mapping[str, Any], attachment: Attachment, previous: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What one plugin reads on its standard input."""
    config = {key: value for key, value in plugin.items() if key != "capabilities"}
    config["name"], config["cniVersion"] = network.name, network.version
    wanted = plugin.get("capabilities") or {}
    runtime = {
        name: attachment.capabilities[name] for name in wanted if wanted[name] and name in attachment.capabilities
    }
    if runtime:
        config["runtimeConfig"] = runtime
    if previous is not None:
        config["prevResult"] = previous
    return config


def addresses(result: Mapping[str, Any]) -> list[str]:
    """The pod's own addresses: those on an interface inside its namespace, in the plugin's order."""
    interfaces = result.get("interfaces") or []
    found = []
    for entry in result.get("ips") or []:
        index = entry.get("interface")
        inside = index is None or (0 <= index < len(interfaces) and interfaces[index].get("sandbox"))
        if inside and isinstance(entry.get("address"), str):
            found.append(entry["address"].partition("/")[0])
    return found


class CniClient:
    def __init__(self, bin_directories: Sequence[str]) -> None:
        self._bin_directories = list(bin_directories)

    async def add(self, network: NetworkList, attachment: Attachment) -> dict[str, Any]:
        """Run the whole chain; if a plugin fails, undo what the ones before it did."""
        result: dict[str, Any] | None = None
        for plugin in network.plugins:
            try:
                result = await self._run("ADD", network, plugin, attachment, result)
            except CniError:
                # The first failure is the one worth telling.
                with contextlib.suppress(CniError):
                    await self.delete(network, attachment, result)
                raise
        return result or {}

    async def delete(self, network: NetworkList, attachment: Attachment, result: Mapping[str, Any] | None) -> None:
        for plugin in reversed(network.plugins):
            await self._run("DEL", network, plugin, attachment, result)

    def check_plugins(self, network: NetworkList) -> None:
        """Raise CniError when a plugin of the list is not installed."""
        for plugin in network.plugins:
            self._find(plugin["type"])

    async def check(self, network: NetworkList, attachment: Attachment, result: Mapping[str, Any]) -> None:
        for plugin in network.plugins:
            await self._run("CHECK", network, plugin, attachment, result)

    async def _run(
        self,
        command: str,
        network: NetworkList,
        plugin: Mapping[str, Any],
        attachment: Attachment,
        previous: Mapping[str, Any] | None,
    ) -> dict[str, Any] | None:
        kind = plugin["type"]
        executable = self._find(kind)
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": attachment.container_id,
            "CNI_NETNS": attachment.netns,
            "CNI_IFNAME": attachment.interface,
            "CNI_PATH": ":".join(self._bin_directories),
            "CNI_ARGS": ";".join(f"{name}={value}" for name, value in attachment.args.items()),
        }
        process = await asyncio.create_subprocess_exec(
            executable,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        document = json.dumps(plugin_input(network, plugin, attachment, previous)).encode()
        try:
            async with asyncio.timeout(PLUGIN_TIMEOUT):
                output, errors = await process.communicate(document)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise CniError(f"cni plugin {kind} {command} took longer than {PLUGIN_TIMEOUT:.0f} s") from None
        if process.returncode != 0:
            raise CniError(f"cni plugin {kind} {command} failed: {_failure(output, errors)}")
        if command != "ADD":
            return None
        try:
            result = json.loads(output)
        except ValueError as error:
            raise CniError(f"cni plugin {kind} {command} printed no JSON result") from error
        return result if isinstance(result, dict) else {}

    def _find(self, kind: str) -> str:
        for directory in self._bin_directories:
            path = os.path.join(directory, kind)
            if os.access(path, os.X_OK):
                return path
        raise CniError(f"cni plugin {kind} is not in {':'.join(self._bin_directories)}")


def _failure(output: bytes, errors: bytes) -> str:
    try:
        loaded = json.loads(output)
        text = f"{loaded.get('msg', '')} {loaded.get('details', '')}".strip()
    except (ValueError, AttributeError):
        text = ""
    return text or errors.decode("utf-8", "replace").strip()[:500] or "no message"

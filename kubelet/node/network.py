"""The pods' network on this node: a bridge with the node's podCIDR by CNI, and the kernel's switches it needs.

Pods reach each other's nodes by routes that kube_proxy sets; this file only makes the local end. Source addresses are
left alone here (ipMasq false): kube_proxy masquerades what leaves the cluster.
"""

import asyncio
import ipaddress
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

BRIDGE = "cbr0"
FILE = "10-skiff.conflist"
SWITCHES = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
SWITCHES_6 = {"net/ipv6/conf/all/forwarding": "1", "net/bridge/bridge-nf-call-ip6tables": "1"}


def configuration(pod_cidrs: Sequence[str], addresses: Path) -> str:
    """The CNI network list. `addresses` is where host-local notes which pod has which address."""
    versions = [ipaddress.ip_network(cidr).version for cidr in pod_cidrs]
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "forceAddress": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(addresses),
            "ranges": [[{"subnet": cidr}] for cidr in pod_cidrs],
            "routes": [{"dst": "0.0.0.0/0" if version == 4 else "::/0"} for version in versions],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": "skiff", "plugins": [bridge, ports]}, indent=2) + "\n"


def write_configuration(folder: Path, text: str) -> bool:
    """Whole or not at all; False when it says this already."""
    path = folder / FILE
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() == text:
        return False
    # The dot keeps runtimes from reading the file before it is complete.
    part = folder / f".{FILE}.part"
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return True


def set_switches(pod_cidrs: Sequence[str], proc: Path = Path("/proc/sys")) -> None:
    wanted = dict(SWITCHES)
    if any(ipaddress.ip_network(cidr).version == 6 for cidr in pod_cidrs):
        wanted |= SWITCHES_6
    for name, value in wanted.items():
        try:
            if (proc / name).read_text().strip() != value:
                (proc / name).write_text(value)
        except OSError as error:
            log.warning("cannot set %s=%s: %s", name.replace("/", "."), value, error.strerror)


async def allow_forwarding(cidrs: Sequence[str]) -> None:
    """Where the host's FORWARD chain drops by policy (Docker does that), the pods' traffic gets rules of its own."""
    for cidr in cidrs:
        tool = shutil.which("iptables" if ipaddress.ip_network(cidr).version == 4 else "ip6tables")
        if tool is None:
            continue
        code, listed = await _run(tool, "-w", "-S", "FORWARD")
        if code != 0 or not listed.startswith("-P FORWARD DROP"):
            continue
        for direction in ("-s", "-d"):
            rule = (direction, cidr, "-m", "comment", "--comment", "skiff: traffic of pods", "-j", "ACCEPT")
            code, _ = await _run(tool, "-w", "-C", "FORWARD", *rule)
            if code != 0:
                code, told = await _run(tool, "-w", "-I", "FORWARD", *rule)
                if code != 0:
                    log.warning("cannot let the pods' traffic %s %s pass: %s", direction, cidr, told.strip())


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


async def load_bridge_filter() -> None:
    """The bridge's netfilter is a module on most kernels and built in on some."""
    if not Path("/proc/sys/net/bridge").exists() and (tool := shutil.which("modprobe")):  # noqa: ASYNC240
        await _run(tool, "br_netfilter")


async def prepare(pod_cidrs: Sequence[str], folder: Path | None, addresses: Path, cluster_cidrs: Sequence[str]) -> None:
    """Done again it changes nothing."""
    await load_bridge_filter()
    await asyncio.to_thread(set_switches, pod_cidrs)
    if folder is not None:
        text = configuration(pod_cidrs, addresses)
        if await asyncio.to_thread(write_configuration, folder, text):
            log.info("the pods of this node get addresses of %s", ", ".join(pod_cidrs))
    await allow_forwarding(cluster_cidrs or pod_cidrs)

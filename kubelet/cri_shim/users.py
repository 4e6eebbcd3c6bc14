"""Whom a container runs as: the pod's wish, else the image's user, looked up in the image's passwd and group."""

from __future__ import annotations

from dataclasses import dataclass

from kubelet.cri_shim.oci_spec import ResolvedUser
from skiff_pb.cri import runtime_pb2 as cri


@dataclass(frozen=True, slots=True)
class PasswdEntry:
    name: str
    uid: int
    gid: int


def parse_passwd(text: str) -> list[PasswdEntry]:
    entries = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdigit() and fields[3].isdigit():
            entries.append(PasswdEntry(fields[0], int(fields[2]), int(fields[3])))
    return entries


def parse_group(text: str) -> list[tuple[str, int, frozenset[str]]]:
    groups = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdigit():
            groups.append((fields[0], int(fields[2]), frozenset(name for name in fields[3].split(",") if name)))
    return groups


def resolve_user(
    context: cri.LinuxContainerSecurityContext, image_user: str, passwd: str | None, group: str | None
) -> ResolvedUser:
    entries, groups = parse_passwd(passwd or ""), parse_group(group or "")
    image_name, _, image_group = image_user.partition(":")
    if context.HasField("run_as_user"):
        wanted = str(context.run_as_user.value)
        group_name = ""
    elif context.run_as_username:
        wanted, group_name = context.run_as_username, ""
    else:
        wanted, group_name = image_name or "0", image_group
    entry = _find_user(wanted, entries)
    uid = entry.uid if entry else _number(wanted, f"user {wanted!r} is not in the image's /etc/passwd")
    if context.HasField("run_as_group"):
        gid = context.run_as_group.value
    elif group_name:
        gid = _find_group(group_name, groups)
    else:
        gid = entry.gid if entry else 0
    extra: list[int] = [gid]
    if entry and context.supplemental_groups_policy == cri.Merge:
        extra += [number for _, number, members in groups if entry.name in members]
    extra += context.supplemental_groups
    return ResolvedUser(uid, gid, tuple(dict.fromkeys(extra)))


def _find_user(wanted: str, entries: list[PasswdEntry]) -> PasswdEntry | None:
    for entry in entries:
        if entry.name == wanted or (wanted.isdigit() and entry.uid == int(wanted)):
            return entry
    return None


def _find_group(wanted: str, groups: list[tuple[str, int, frozenset[str]]]) -> int:
    for name, number, _ in groups:
        if name == wanted:
            return number
    return _number(wanted, f"group {wanted!r} is not in the image's /etc/group")


def _number(text: str, complaint: str) -> int:
    if not text.isdigit():
        raise ValueError(complaint)
    return int(text)

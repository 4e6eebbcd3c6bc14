"""Discovery documents, derived from the catalog: `/api`, `/apis`, a group, a group version, and all at once."""

from __future__ import annotations

from typing import Any, Protocol

from apimachinery.gvk import join_api_version
from apimachinery.resources import ResourceInfo, SubresourceInfo
from apiserver.registry.catalog import Catalog

JSON = dict[str, Any]


def api_versions(server_address: str) -> JSON:
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


Groups = list[tuple[str, list[str]]]


class Others(Protocol):
    """The group versions that other servers answer."""

    @property
    def generation(self) -> int:
        """Changes whenever they do."""
        ...

    def order(self, groups: Groups) -> Groups:
        """All groups in discovery's order, those of the others added."""
        ...

    def version(self, group: str, version: str) -> JSON | None:
        """An entry of aggregated discovery, None for a version that is answered here."""
        ...


def group_list(served: Groups) -> JSON:
    groups = [_group(name, versions) for name, versions in served if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(served: Groups, name: str) -> JSON | None:
    for known, versions in served:
        if known == name and name:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}
    return None


def _group(name: str, versions: list[str]) -> JSON:
    listed = [{"groupVersion": join_api_version(name, version), "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(catalog: Catalog, name: str, version: str) -> JSON | None:
    """None for a group version that is not served."""
    if not catalog.has_group_version(name, version):
        return None
    resources: list[JSON] = []
    for info in sorted(catalog.of(name, version), key=lambda one: one.plural):
        resources.append(_resource(info))
        resources += [_subresource(info, one) for one in sorted(info.subresources, key=lambda one: one.name)]
    head = {"kind": "APIResourceList", "groupVersion": join_api_version(name, version)}
    if name:
        head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": join_api_version(name, version)}
    return {**head, "resources": resources}


def _resource(info: ResourceInfo) -> JSON:
    described: JSON = {
        "name": info.plural,
        "singularName": info.singular,
        "namespaced": info.namespaced,
        "kind": info.kind,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        described["shortNames"] = list(info.short_names)
    if info.categories:
        described["categories"] = list(info.categories)
    if info.storage_version_hash:
        described["storageVersionHash"] = info.storage_version_hash
    return described


def _subresource(info: ResourceInfo, one: SubresourceInfo) -> JSON:
    described: JSON = {"name": f"{info.plural}/{one.name}", "singularName": "", "namespaced": info.namespaced}
    if (one.group, one.version) != (info.group, info.version):
        described["group"], described["version"] = one.group, one.version
    described["kind"] = one.kind
    described["verbs"] = list(one.verbs)
    return described


def aggregated(catalog: Catalog, served: Groups, others: Others | None, legacy: bool, version: str) -> JSON:
    """All groups (or the core one) with their resources: one request instead of one per group version."""
    items = []
    for name, versions in served:
        if bool(name) is legacy:
            continue
        metadata: JSON = {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None}
        listed = [
            (others.version(name, one) if others else None) or _aggregated_version(catalog, name, one)
            for one in versions
        ]
        items.append({"metadata": metadata, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_version(catalog: Catalog, name: str, version: str) -> JSON:
    resources = [_aggregated_resource(info) for info in sorted(catalog.of(name, version), key=lambda one: one.plural)]
    return {"version": version, "resources": resources, "freshness": "Current"}


def _aggregated_resource(info: ResourceInfo) -> JSON:
    described: JSON = {
        "resource": info.plural,
        "responseKind": {"group": info.group, "version": info.version, "kind": info.kind},
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        described["shortNames"] = list(info.short_names)
    if info.categories:
        described["categories"] = list(info.categories)
    if info.subresources:
        described["subresources"] = [
            {
                "subresource": one.name,
                "responseKind": {"group": one.group, "version": one.version, "kind": one.kind},
                "verbs": list(one.verbs),
            }
            for one in sorted(info.subresources, key=lambda one: one.name)
        ]
    return described

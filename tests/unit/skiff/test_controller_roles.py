"""What is added to upstream's roles of controllers is `patch` where they may `update`, and a few reads."""

from __future__ import annotations

from apiserver.bootstrap.controller_roles import CONTROLLER_ROLES
from controller_manager.catalog import ACCOUNTS, ENTRIES
from skiff.cluster.controller_roles import PATCHES, WRITTEN_WHOLE, rules

OF_UPSTREAM = {role.name.removeprefix("system:controller:"): role for role in CONTROLLER_ROLES}
#: Rights of their own kind, which ours use with the verb that upstream has.
APART = ("/finalizers", "/finalize", "/approval")


def may(account: str, verb: str) -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    for rule in OF_UPSTREAM[account].rules:
        obj = rule.as_object()
        if verb in obj["verbs"]:
            pairs |= {(group, name) for group in obj.get("apiGroups", ()) for name in obj.get("resources", ())}
    return pairs


def test_every_right_to_update_is_one_to_patch_and_no_other_is() -> None:
    ours = {ACCOUNTS.get(name, name) for name in ENTRIES}
    missing: set[tuple[str, str, str]] = set()
    for account in ours & OF_UPSTREAM.keys():
        for group, resource in may(account, "update") - may(account, "patch"):
            if group != "extensions" and not resource.endswith(APART):
                missing.add((account, group, resource))
    granted = {(who, group, name) for who, all_ in PATCHES.items() for group, names in all_ for name in names}
    assert granted == missing - WRITTEN_WHOLE


def test_the_rules_are_rbacs() -> None:
    assert rules("certificate-controller") == [
        {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests/status"],
            "verbs": ["patch"],
        },
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    ]

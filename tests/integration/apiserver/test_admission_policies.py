"""Expressions stored in the cluster decide about requests to a real apiserver."""

from __future__ import annotations

import httpx

from tests.integration.apiserver.test_admission_webhooks import allow, hook, maps, registered, webhook
from tests.integration.apiserver.test_verbs import config_map

__all__ = ["maps"]


def test_match_conditions_of_webhooks(api: httpx.Client, namespace: str, maps: str) -> None:
    conditions = [
        {"name": "not-mine", "expression": "object.metadata.name != 'mine'"},
        {"name": "may", "expression": "authorizer.group('').resource('configmaps').check('create').allowed()"},
        {"name": "has-data", "expression": "object.data.a == '1'"},
    ]
    with (
        webhook(allow) as server,
        registered(api, "validating", "conditional", namespace, hook(server, matchConditions=conditions)),
    ):
        assert api.post(maps, json=config_map("mine", a="1")).status_code == 201
        assert not server.requests
        made = api.post(maps, json=config_map("asked", a="1"))
        assert made.status_code == 201, made.text
        assert [review.object["request"]["name"] for review in server.requests] == ["asked"]
        refused = api.post(maps, json=config_map("broken"))
        assert refused.status_code == 403
        assert refused.json()["message"] == (
            "configmaps \"broken\" is forbidden: expression 'object.data.a == '1'' resulted in error: no such key: data"
        )

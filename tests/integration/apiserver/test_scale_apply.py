"""Server-side apply of a number of replicas, through the Scale of the object that has it."""

from __future__ import annotations

import httpx


def test_scale_is_applied_and_owned(api: httpx.Client, namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert (
        api.post(path, json={"metadata": {"name": "d"}, "spec": spec}, params={"fieldManager": "maker"}).status_code
        == 201
    )

    def apply(manager: str, wanted: dict[str, object], **more: str) -> httpx.Response:
        body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": wanted}
        headers = {"content-type": "application/apply-patch+yaml"}
        return api.patch(f"{path}/d/scale", json=body, headers=headers, params={"fieldManager": manager, **more})

    refused = apply("scaler", {"replicas": 3})
    assert refused.status_code == 409, refused.text
    assert refused.json()["message"] == (
        'Apply failed with 1 conflict: conflict with "maker" using autoscaling/v1: .spec.replicas'
    )
    taken = apply("scaler", {"replicas": 3}, force="true")
    assert (taken.status_code, taken.json()["kind"], taken.json()["spec"]) == (200, "Scale", {"replicas": 3})
    held = api.get(f"{path}/d").json()
    assert held["spec"]["replicas"] == 3
    entries = {entry["manager"]: entry for entry in held["metadata"]["managedFields"]}
    scaler = entries["scaler"]
    assert (scaler["operation"], scaler["apiVersion"], scaler["subresource"]) == ("Apply", "apps/v1", "scale")
    assert scaler["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in entries["maker"]["fieldsV1"]["f:spec"]
    assert apply("scaler", {"replicas": 4}).json()["spec"] == {"replicas": 4}
    other = apply("other", {"replicas": 5})
    assert 'conflict with "scaler" with subresource "scale": .spec.replicas' in other.json()["message"]
    assert apply("scaler", {"size": 1}).status_code == 400
    assert apply("scaler", {"replicas": -1}).status_code == 422
    assert len(entries) == 2
    assert apply("maker", {"replicas": 4}).status_code == 200  # shared: both say the same
    assert apply("scaler", {}).json()["spec"] == {"replicas": 4}  # let go of, but not by the other

"""Conversion of custom objects by a webhook: ConversionReview out, ConversionReview back, and what is not believed."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apimachinery import errors
from apimachinery.fields import Path, aggregate, quote
from apimachinery.schema.nodes import DecodeError, Findings
from apimachinery.validation import metadata as rules
from apiserver.webhooks.client import WebhookClient, WebhookError, hook_of

if TYPE_CHECKING:
    from apimachinery.structural.version import CustomVersion
    from apiserver.extensions.definition import Definition

JSON = dict[str, Any]
#: As upstream's.
TIMEOUT_SECONDS = 30.0
_KNOWN = ("v1", "v1beta1")


class Refused(Exception):
    """The answer cannot be used; the text is upstream's."""


class Converter:
    def __init__(self, client: WebhookClient) -> None:
        self._client = client

    async def convert(self, definition: Definition, target: CustomVersion, objs: Sequence[JSON]) -> list[JSON]:
        """The objects in the version `target`, pruned. Raises StatusError 500 with the webhook's reason."""
        asked = [one for one in objs if one["apiVersion"] != target.api_version]
        if not asked:
            return list(objs)
        group, version = asked[0]["apiVersion"].rsplit("/", 1)
        what = f"conversion webhook for {group}/{version}, Kind={asked[0]['kind']}"
        try:
            converted = iter(await self._ask(definition, target, asked, what))
        except (WebhookError, Refused) as error:
            raise errors.internal(str(error)) from error
        return [one if one["apiVersion"] == target.api_version else next(converted) for one in objs]

    async def _ask(self, definition: Definition, target: CustomVersion, objs: Sequence[JSON], what: str) -> list[JSON]:
        webhook = definition.conversion["webhook"]
        spoken = [one for one in webhook.get("conversionReviewVersions") or () if one in _KNOWN]
        if not spoken:
            raise Refused("no supported conversion review versions")
        uid = str(uuid.uuid4())
        api_version = f"apiextensions.k8s.io/{spoken[0]}"
        body = {
            "kind": "ConversionReview",
            "apiVersion": api_version,
            "request": {"uid": uid, "desiredAPIVersion": target.api_version, "objects": list(objs)},
        }
        try:
            answer = await self._client.call(hook_of(webhook["clientConfig"]), body, TIMEOUT_SECONDS)
            made = _objects(answer, api_version, uid)
        except (WebhookError, Refused) as error:
            raise Refused(f"{what} failed: {error}") from error
        if len(made) != len(objs):
            raise Refused(f"{what} returned {len(made)} objects, expected {len(objs)}")
        return [
            _checked(one, was, target, what, f" object at index {index}" if len(objs) > 1 else " object")
            for index, (one, was) in enumerate(zip(made, objs, strict=True))
        ]


def _objects(answer: JSON, api_version: str, uid: str) -> list[Any]:
    response = answer.get("response")
    if api_version.endswith("/v1") and (answer.get("kind"), answer.get("apiVersion")) != (
        "ConversionReview",
        api_version,
    ):
        got = f"{answer.get('apiVersion', '')}, Kind={answer.get('kind', '')}"
        raise Refused(f"expected webhook response of {api_version}, Kind=ConversionReview, got {got}")
    if not isinstance(response, dict):
        raise Refused("no response provided")
    if api_version.endswith("/v1") and response.get("uid") != uid:
        raise Refused(f"expected response.uid={quote(uid)}, got {quote(str(response.get('uid', '')))}")
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise Refused(
            result.get("message") or f"response.result.status was '{result.get('status', '')}', not 'Success'"
        )
    return response.get("convertedObjects") or []


def _checked(made: Any, was: JSON, target: CustomVersion, what: str, which: str) -> JSON:
    """The converted object with the metadata of the original: labels and annotations are all a webhook may change."""
    head = f"{what} returned invalid{' converted' if 'index' in which else ''}{which}"
    if not isinstance(made, dict):
        raise Refused(f"{head}: invalid type")
    if made.get("apiVersion") != target.api_version:
        got = made.get("apiVersion", "")
        raise Refused(f"{head}: invalid groupVersion (expected {target.api_version}, received {got})")
    if made.get("kind") != was["kind"]:
        raise Refused(f"{head}: invalid kind (expected {was['kind']}, received {made.get('kind', '')})")
    metadata = made.get("metadata")
    if not isinstance(metadata, dict):
        raise Refused(f"{head}: missing metadata in converted object")
    for name, word in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        expected, got = was["metadata"].get(name) or "", metadata.get(name) or ""
        if expected != got:
            raise Refused(f"{head}: must have the same {word}: {expected} != {got}")
    restored = {**made, "metadata": _metadata(metadata, was["metadata"], head)}
    try:
        return target.prune(restored, Findings())
    except DecodeError as error:
        raise Refused(f"{head}: {error}") from error


def _metadata(made: JSON, was: JSON, head: str) -> JSON:
    result = copy.copy(was)
    for name in ("labels", "annotations"):
        given = made.get(name)
        if given is None:
            result.pop(name, None)
            continue
        if not isinstance(given, dict):
            raise Refused(f"{head}: invalid metadata.{name} in converted object")
        for key, value in given.items():
            if not isinstance(value, str):
                raise Refused(f"{head}: metadata.{name}[{key}] must be a string in converted object")
        if given != (was.get(name) or {}):
            judge = rules.labels if name == "labels" else rules.valid_annotations
            if found := judge(given, Path("metadata", name)):
                raise Refused(f"{head}: {aggregate(found)}")
        result[name] = given
    return result

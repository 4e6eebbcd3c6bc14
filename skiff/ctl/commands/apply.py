"""`apply`: what files say becomes so; by default as kubectl does it, with `--server-side` as the server does."""

from __future__ import annotations

from typing import Any

import click

from apimachinery.errors import StatusError
from kubeclient.rest import APPLY, MERGE, STRATEGIC
from skiff.ctl import three_way
from skiff.ctl.catalog import Catalog, UnknownResource
from skiff.ctl.changes import dry_run_option, lasting, manager_option, validate_option
from skiff.ctl.failures import Failure, Said, lines
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, at, selector_option
from skiff.ctl.words import Entry, Group, options

CLIENT_SIDE = "skiffctl-client-side-apply"
SERVER_SIDE = "skiffctl"
_TRIES = 5


async def _apply(session: Session, **given: Any) -> None:
    """Make objects be as files say, and remove from them what the files no longer say.

    \b
    skiffctl apply -f deploy/samples/hello.yaml
    cat x.yaml | skiffctl apply -f - --server-side
    """
    if not given["filename"] and not given["kustomize"]:
        raise Failure("must specify one of -f and -k")
    from apimachinery.selectors import parse_labels

    objects = load(given["filename"], given["recursive"], given["kustomize"])
    if given["selector"]:
        wanted = parse_labels(given["selector"])
        objects = [obj for obj in objects if wanted.matches((obj.get("metadata") or {}).get("labels"))]
    applier = Applier(session, given)
    catalog = await session.catalog()
    failed = False
    for obj in objects:
        try:
            try:
                target = at(catalog, obj, session.namespace)
            except UnknownResource:
                # Its definition may have been made by an object before it in this very file.
                target = await _found_anew(session, obj)
            answer, what = await applier.apply(target, obj)
            report(answer, what, given["output"], given["dry_run"])
        except (StatusError, UnknownResource, Failure) as error:
            failed = True
            for line in lines(error) or ():
                click.echo(line, err=True)
    if failed:
        raise Said


async def _found_anew(session: Session, obj: dict[str, Any]) -> Target:
    from skiff.ctl.catalog import discover

    error: UnknownResource | None = None
    for pause in (0.0, 0.3, 1.0):
        await session.clock.sleep(pause)
        catalog: Catalog = await discover(session.client)
        try:
            return at(catalog, obj, session.namespace)
        except UnknownResource as unknown:
            error = unknown
    assert error is not None
    raise error


class Applier:
    """Applies one object after the other; `diff` uses it with a dry run."""

    def __init__(self, session: Session, given: dict[str, Any]) -> None:
        self._session = session
        self._client = session.client
        self._given = given
        self._dry = given["dry_run"]

    async def apply(self, target: Target, obj: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The object as it is now, and what was done."""
        if not target.name:
            raise Failure("error when applying: the object has no metadata.name; use create for generateName")
        own = (obj.get("metadata") or {}).get("namespace")
        if self._session.flags.namespace and own and own != self._session.flags.namespace:
            raise Failure(
                f'the namespace from the provided object "{own}" does not match the namespace '
                f"\"{self._session.flags.namespace}\". You must pass '--namespace={own}' to perform this operation."
            )
        if target.namespace:
            # kubectl remembers the namespace too; without it here, a file it applied would seem to have lost one.
            obj = {**obj, "metadata": {**obj["metadata"], "namespace": target.namespace}}
        if self._given["server_side"]:
            return await self._server_side(target, obj)
        for attempt in range(_TRIES):
            try:
                return await self._client_side(target, obj)
            except StatusError as error:
                if error.code != 409 or error.reason != "Conflict" or attempt == _TRIES - 1:
                    raise
        raise AssertionError("the loop returns or raises")

    async def _server_side(self, target: Target, obj: dict[str, Any]) -> tuple[dict[str, Any], str]:
        params = lasting(self._dry, self._given["field_manager"] or SERVER_SIDE, self._given["validate"])
        if self._given["force_conflicts"]:
            params["force"] = "true"
        try:
            return await self._client.patch(target.path, obj, APPLY, params), "serverside-applied"
        except StatusError as error:
            if error.code == 409 and error.causes:
                advice = "\nPlease review the fields above--they currently have other managers. Use --force-conflicts."
                raise StatusError(error.code, error.reason, error.message + advice, error.details) from None
            raise

    async def _client_side(self, target: Target, obj: dict[str, Any]) -> tuple[dict[str, Any], str]:
        modified = three_way.remembered(obj)
        params = lasting(self._dry, self._given["field_manager"] or CLIENT_SIDE, self._given["validate"])
        try:
            current = await self._client.get(target.path)
        except StatusError as error:
            if error.code != 404:
                raise
            if self._dry == "client":
                return modified, "created"
            return await self._client.create(target.type.path(target.namespace), modified, params), "created"
        original = three_way.last_applied(current)
        if original is None and self._dry != "client":
            self._session.warn(
                f"resource {target.type.plural}/{target.name} is missing the {three_way.LAST_APPLIED} annotation which "
                "is required by apply. skiffctl apply should only be used on resources created declaratively by either "
                "create --save-config or apply. The missing annotation will be patched automatically."
            )
        patch, content_type = difference(original or {}, modified, current, target)
        if not patch:
            return current, "unchanged"
        if self._dry == "client":
            return current, "configured"
        return await self._client.patch(target.path, patch, content_type, params), "configured"


def difference(
    original: dict[str, Any], modified: dict[str, Any], current: dict[str, Any], target: Target
) -> tuple[dict[str, Any], str]:
    """The patch and how it is to be read."""
    from apimachinery.schema import type_of

    node = type_of(target.type.group, target.type.version, target.type.kind)
    if node is None:
        return three_way.merge_patch(original, modified, current), MERGE
    return three_way.strategic_patch(original, modified, current, node), STRATEGIC


_OPTIONS = options(
    filename_options,
    selector_option,
    output_option,
    dry_run_option,
    manager_option,
    validate_option,
    click.option("--server-side", is_flag=True, help="Let the server merge, by who owns which field."),
    click.option("--force-conflicts", is_flag=True, help="Take over fields others own."),
    click.option("--overwrite/--no-overwrite", default=True, hidden=True),
)

apply_command = Group(
    "apply",
    callback=_apply,
    invoke_without_command=True,
    params=_OPTIONS,
    help=_apply.__doc__,
    commands_below={
        "view-last-applied": Entry(
            "skiff.ctl.commands.last_applied", "view_last_applied", "Show what was applied to objects last"
        )
    },
)

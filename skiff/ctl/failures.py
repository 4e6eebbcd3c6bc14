"""What went wrong, in the words kubectl uses, so that scripts that look for them keep working."""

from __future__ import annotations

import asyncio

import click
import httpx

from apimachinery.errors import StatusError
from kubeclient.kubeconfig import KubeConfigError
from skiff.ctl.catalog import UnknownResource


class Failure(Exception):
    """`error: …`, said by this program and not by the server."""


class Said(Exception):
    """A command that failed after it has said everything; `code` is the exit code."""

    def __init__(self, code: int = 1) -> None:
        super().__init__()
        self.code = code


def lines(error: BaseException) -> list[str] | None:
    """The sentences for standard error; None for what is a bug of this program."""
    if isinstance(error, BaseExceptionGroup):
        return lines(error.exceptions[0])
    if isinstance(error, StatusError):
        return status_lines(error)
    if isinstance(error, Said):
        return []
    if isinstance(error, (Failure, KubeConfigError, UnknownResource)):
        return [f"error: {error}"]
    if isinstance(error, click.ClickException):
        return [f"error: {error.format_message()}"]
    if isinstance(error, httpx.TransportError):
        return [transport_line(error)]
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return ["error: timed out waiting for the condition"]
    if isinstance(error, (OSError, ValueError)):
        return [f"error: {error}"]
    return None


def status_lines(error: StatusError) -> list[str]:
    if error.code == 401:
        return [f"error: You must be logged in to the server ({error.message or 'Unauthorized'})"]
    if error.reason == "Invalid" and error.details is not None:
        return _invalid(error)
    reason = f" ({error.reason})" if error.reason else ""
    return [f"Error from server{reason}: {error.message}"]


def _invalid(error: StatusError) -> list[str]:
    details = error.details or {}
    if details.get("kind") or details.get("name"):
        start = f'The {details.get("kind", "")} "{details.get("name", "")}" is invalid'
    elif error.message and not error.causes:
        return [f"The request is invalid: {error.message}"]
    else:
        start = "The request is invalid"
    causes = list(dict.fromkeys(f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in error.causes))
    if not causes:
        return [start]
    if len(causes) == 1:
        return [f"{start}: {causes[0]}"]
    return [f"{start}: ", *(f"* {cause}" for cause in causes)]


def transport_line(error: httpx.TransportError) -> str:
    try:
        url = error.request.url
        place = f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"
    except RuntimeError:
        place = "?"
    if isinstance(error, httpx.ConnectError) and "certificate" not in str(error).lower():
        if "refused" in str(error) or "All connection attempts failed" in str(error):
            return f"The connection to the server {place} was refused - did you specify the right host or port?"
        return f"Unable to connect to the server: {place}: {error}"
    if isinstance(error, httpx.TimeoutException):
        return f"Unable to connect to the server: {place} did not answer in time"
    return f"Unable to connect to the server: {place}: {error or type(error).__name__}"

"""Pages of proxied applications: links that begin at the root are made to begin behind the proxy.

An application answers `<a href="/news">`; through the proxy it lives at `/api/v1/namespaces/x/services/app/proxy/`, so
the link has to become `…/proxy/news`, and a redirect's Location likewise. Links to other hosts and relative ones stay.
Upstream does the same to `text/html` and to Location, and to nothing else. Pure and incremental: a page that is sent
over minutes is passed on as it comes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

#: Tag -> attributes that hold a URL (HTML 4 and 5).
ATTRIBUTES: dict[str, frozenset[str]] = {
    tag: frozenset(names.split())
    for tag, names in {
        "a": "href",
        "applet": "codebase",
        "area": "href",
        "audio": "src",
        "base": "href",
        "blockquote": "cite",
        "body": "background",
        "button": "formaction",
        "command": "icon",
        "del": "cite",
        "embed": "src",
        "form": "action",
        "frame": "longdesc src",
        "head": "profile",
        "html": "manifest",
        "iframe": "longdesc src",
        "img": "longdesc src usemap",
        "input": "src usemap formaction",
        "ins": "cite",
        "link": "href",
        "object": "classid codebase data usemap",
        "q": "cite",
        "script": "src",
        "source": "src",
        "video": "poster src",
    }.items()
}
MAX_TAG = 64 << 10
"""A tag longer than this is passed on as it is: what waits for its end must not grow without bound."""
#: Of a packed page, at a time: the rest stays packed until the client has taken this.
MAX_UNPACKED = 256 << 10

_TAG = re.compile(rb"""<([A-Za-z][^\s/>]*)(?:[^>"']|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""(\s)([A-Za-z-]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""")
_RAW_END = {tag: re.compile(rb"</" + tag.encode() + rb"\s*>", re.IGNORECASE) for tag in ("script", "style")}
#: Content-Encoding -> zlib's window bits, 0 for none.
_WINDOW = {"": 0, "identity": 0, "gzip": 31, "deflate": 47}
_COMMENT_END = re.compile(rb"-->")


class Links:
    """Rewrites single URLs. `prefix` ends at `/proxy`, `hosts` are the names under which the application was asked."""

    def __init__(self, prefix: str, hosts: frozenset[str]) -> None:
        self._prefix = prefix
        self._hosts = hosts

    def rewrite(self, url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        if (parts.netloc and parts.netloc not in self._hosts) or not parts.path.startswith("/"):
            return url
        path = parts.path if parts.path.startswith(self._prefix) else self._prefix + parts.path
        return urlunsplit(("", "", path, parts.query, parts.fragment))


class Page:
    """One HTML document: `feed` pieces, send what comes back, and `end` at last.

    Bytes are kept as they are, whatever the charset: markup is ASCII in every one that a browser accepts.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._rest = b""
        self._until: re.Pattern[bytes] | None = None
        """The end of a script, style or comment: nothing in there is a link."""

    def feed(self, data: bytes) -> bytes:
        data, self._rest = self._rest + data, b""
        out: list[bytes] = []
        at = 0
        while at < len(data):
            if self._until is not None:
                end = self._until.search(data, at)
                if end is None:
                    # Its last bytes may be the beginning of the end.
                    keep = max(at, len(data) - 16)
                    out.append(data[at:keep])
                    self._rest = data[keep:]
                    return b"".join(out)
                out.append(data[at : end.end()])
                at, self._until = end.end(), None
                continue
            start = data.find(b"<", at)
            if start < 0:
                out.append(data[at:])
                break
            out.append(data[at:start])
            at = self._markup(data, start, out)
            if at < 0:
                self._rest = data[start:]
                break
        return b"".join(out)

    def end(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest

    def _markup(self, data: bytes, start: int, out: list[bytes]) -> int:
        """Where to go on behind the markup at `start`; -1 when more has to come first."""
        tag = _TAG.match(data, start)
        if tag is not None:
            name = tag[1].decode("latin-1").lower()
            out.append(self._tag(name, tag[0]))
            self._until = _RAW_END.get(name)
            return tag.end()
        head = data[start : start + 4]
        if head == b"<!--":
            out.append(head)
            self._until = _COMMENT_END
            return start + 4
        begins = len(head) < 2 or head[1:2].isalpha() or b"<!--".startswith(head)
        if begins and len(data) - start < MAX_TAG:
            return -1
        out.append(b"<")
        return start + 1

    def _tag(self, name: str, text: bytes) -> bytes:
        wanted = ATTRIBUTES.get(name)
        if wanted is None:
            return text

        def replaced(found: re.Match[bytes]) -> bytes:
            if found[2].decode().lower() not in wanted:
                return found[0]
            value = found[4]
            quote = value[:1] if value[:1] in (b'"', b"'") else b""
            url = value.strip(quote).decode("latin-1") if quote else value.decode("latin-1")
            return found[1] + found[2] + found[3] + quote + self._links.rewrite(url).encode("latin-1") + quote

        return _ATTRIBUTE.sub(replaced, text)


class Unpacked:
    """The bytes of a body by its Content-Encoding; KeyError for one that cannot be taken apart."""

    def __init__(self, encoding: str) -> None:
        bits = _WINDOW[encoding.strip().lower()]
        self._inflate = zlib.decompressobj(bits) if bits else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """In pieces: a thousand bytes may unpack to a million. zlib.error for what is not packed as it says."""
        inflate = self._inflate
        if inflate is None:
            yield data
            return
        while data:
            piece = inflate.decompress(data, MAX_UNPACKED)
            data = inflate.unconsumed_tail
            if piece:
                yield piece

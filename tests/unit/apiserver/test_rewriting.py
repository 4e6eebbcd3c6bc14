"""Pages behind the proxy: what is a link to the application's own root, and what is not."""

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.proxy.rewriting import MAX_TAG, MAX_UNPACKED, Links, Page, Unpacked

LINKS = Links("/api/v1/namespaces/x/pods/p/proxy", frozenset(("10.0.0.1:80", "api:6443")))
PREFIX = b"/api/v1/namespaces/x/pods/p/proxy"

PAGE = b"""<!DOCTYPE html><html><head><link rel=stylesheet href=/style.css>
<script>if (a<b) document.write('<a href="/kept">');</script><style>a:before{content:'<img src="/kept">'}</style></head>
<!-- <a href="/kept"> --><body title="a > b"><a class='x' href='/news?a=1&amp;b=2#top'>1 < 2</a>
<A HREF="//other/x">o</A><a href="relative">r</a><img alt="/kept" src="http://10.0.0.1:80/logo.png"><form action="/">
<a href="https://elsewhere/x">e</a></body></html>"""
WANTED = (
    PAGE.replace(b"href=/style.css", b"href=" + PREFIX + b"/style.css")
    .replace(b"'/news", b"'" + PREFIX + b"/news")
    .replace(b'"http://10.0.0.1:80/logo.png"', b'"' + PREFIX + b'/logo.png"')
    .replace(b'action="/"', b'action="' + PREFIX + b'/"')
)


@pytest.mark.parametrize(
    ("url", "rewritten"),
    [
        ("/a/b", "/api/v1/namespaces/x/pods/p/proxy/a/b"),
        ("/a/?q=/x#f", "/api/v1/namespaces/x/pods/p/proxy/a/?q=/x#f"),
        ("http://api:6443/a", "/api/v1/namespaces/x/pods/p/proxy/a"),
        ("/api/v1/namespaces/x/pods/p/proxy/a", "/api/v1/namespaces/x/pods/p/proxy/a"),
        ("a/b", "a/b"),
        ("", ""),
        ("#here", "#here"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[broken", "http://[broken"),
        ("https://elsewhere/a", "https://elsewhere/a"),
    ],
)
def test_one_link(url: str, rewritten: str) -> None:
    assert LINKS.rewrite(url) == rewritten


def rewritten(page: Page, pieces: list[bytes]) -> bytes:
    return b"".join([*(page.feed(piece) for piece in pieces), page.end()])


@given(st.lists(st.integers(0, len(PAGE)), max_size=12))
def test_a_page_comes_out_the_same_however_it_was_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(PAGE)]
    pieces = [PAGE[start:end] for start, end in itertools.pairwise(edges)]
    assert rewritten(Page(LINKS), pieces) == WANTED


@given(st.binary(max_size=300))
def test_what_holds_no_link_is_not_changed(data: bytes) -> None:
    data = data.replace(b"=", b"")
    assert rewritten(Page(LINKS), [data[:7], data[7:]]) == data


def test_a_tag_without_end_is_passed_on() -> None:
    page = Page(LINKS)
    endless = b"<a href='" + b"x" * (MAX_TAG + 10)
    assert page.feed(endless) == endless


def test_packed_pages_are_unpacked() -> None:
    unpacked = Unpacked("gzip")
    packed = gzip.compress(b"page" * 100)
    assert b"".join((*unpacked.feed(packed[:9]), *unpacked.feed(packed[9:]))) == b"page" * 100
    with pytest.raises(KeyError):
        Unpacked("br")


def test_a_page_that_unpacks_to_very_much_comes_in_pieces() -> None:
    pieces = [len(piece) for piece in Unpacked("gzip").feed(gzip.compress(bytes(8 << 20)))]
    assert sum(pieces) == 8 << 20
    assert max(pieces) <= MAX_UNPACKED

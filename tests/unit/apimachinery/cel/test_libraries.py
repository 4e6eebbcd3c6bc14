"""The functions Kubernetes adds to the language."""

# ruff: noqa: E501 - one example a line

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.cel import CelError, CelTypeError, Environment

ENVIRONMENT = Environment()


def value(text: str) -> Any:
    return ENVIRONMENT.compile(text).run({})


@pytest.mark.parametrize(
    "text",
    [
        # strings
        "'tacocat'.charAt(3) == 'o' && 'ab'.charAt(2) == ''",
        "'hello mellow'.indexOf('ello', 2) == 7 && 'a'.indexOf('') == 0 && 'a'.indexOf('z') == -1",
        "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
        "'TacoÉ'.lowerAscii() == 'tacoÉ' && 'tacoé'.upperAscii() == 'TACOé'",
        "'hello hello'.replace('he', 'we') == 'wello wello' && 'aa'.replace('a', 'b', 1) == 'ba'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b']",
        "'a,b'.split(',', 0) == [] && 'a,b'.split(',', 1) == ['a,b'] && 'a,b'.split(',', -1) == ['a', 'b']",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
        "'  trim\\n '.trim() == 'trim'",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join('x') == ''",
        'strings.quote("a\\n\\"b\\"") == "\\"a\\\\n\\\\\\"b\\\\\\"\\""',
        "'%s and %d, %% %x %X %b %o'.format(['a', 5, 255, 255, 5, 8]) == 'a and 5, % ff FF 101 10'",
        "'%e'.format([3.14]) == '3.140000×10⁰⁰' && '%.2f %s %s'.format([1.234, [1, 'a'], {'k': true}]) == '1.23 [1, \"a\"] {\"k\":true}'",
        "'%s'.format([duration('1h')]) == '3600s' && '%s'.format([null]) == 'null'",
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
        "'1 22 333'.findAll('[0-9]+') == ['1', '22', '333'] && '1 22 333'.findAll('[0-9]+', 1) == ['1']",
        # lists
        "[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [duration('1s'), duration('2s')].sum() == duration('3s')",
        "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && ['a', 'b'].max() == 'b'",
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && dyn([]).isSorted()",
        "['a', 'b', 'a'].indexOf('a') == 0 && ['a', 'b', 'a'].lastIndexOf('a') == 2 && [1].indexOf(5) == -1",
        "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2]",
        "[[1], [2, 3]].flatten() == [1, 2, 3] && [[[1]], [[2, 3]]].flatten(2) == [1, 2, 3]",
        "[3, 1, 2].sort() == [1, 2, 3] && ['bb', 'a'].sortBy(x, x.size()) == ['a', 'bb']",
        "[1, 2, 1].distinct() == [1, 2]",
        "sets.contains([1, 2, 3], [2, 1]) && !sets.contains([1], [2]) && sets.contains([1], [])",
        "sets.equivalent([1, 2, 2], [2, 1]) && sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2])",
        # quantities
        "quantity('1Gi').isGreaterThan(quantity('1000M')) && quantity('200M').compareTo(quantity('0.2G')) == 0",
        "quantity('50k').asInteger() == 50000 && !quantity('1.5').isInteger() && quantity('1.5').asApproximateFloat() == 1.5",
        "quantity('50k').add(20).isLessThan(quantity('50k').add(quantity('21'))) && sign(quantity('-1')) == -1",
        "quantity('1k').sub(quantity('1')) == quantity('999') && quantity('1k') == quantity('1000')",
        "isQuantity('1.3Gi') && !isQuantity('1.3Gx')",
        # semver
        "semver('1.2.3').compareTo(semver('1.10.0')) == -1 && semver('1.0.0-alpha').isLessThan(semver('1.0.0'))",
        "semver('v1.0', true).major() == 1 && semver('1.02.3', true).minor() == 2 && semver('1.2.3').patch() == 3",
        "isSemver('1.0.0-alpha.1+build') && !isSemver('1.0') && isSemver('v1.0', true) && !isSemver('01.0.0')",
        "semver('1.0.0-alpha.2').isLessThan(semver('1.0.0-alpha.10')) && semver('1.0.0-1').isLessThan(semver('1.0.0-a'))",
        "semver('1.2.3') == semver('1.2.3')",
        # addresses
        "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && string(ip('2001:DB8::1')) == '2001:db8::1'",
        "isIP('10.0.0.1') && !isIP('10.0.0.01') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1')",
        "ip('10.0.0.1').isGlobalUnicast() && ip('224.0.0.1').isLinkLocalMulticast() && ip('169.254.0.1').isLinkLocalUnicast()",
        "ip('0.0.0.0').isUnspecified() && ip('10.0.0.1') == ip('10.0.0.1')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsIP(ip('10.1.2.3'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
        "cidr('10.0.0.0/8').prefixLength() == 8 && string(cidr('10.1.2.3/8')) == '10.1.2.3/8'",
        "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/33') && !cidr('10.0.0.0/8').containsIP('::1')",
        # URLs
        "url('https://u@example.com:80/a%20b?k=v&k=w&e=').getHost() == 'example.com:80'",
        "url('https://example.com:80/a').getHostname() == 'example.com' && url('https://example.com:80/a').getPort() == '80'",
        "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getHost() == '[::1]:80'",
        "url('/path with').getEscapedPath() == '/path%20with' && url('/p').getScheme() == ''",
        "url('https://e.com/?k=v&k=w&e=').getQuery() == {'k': ['v', 'w'], 'e': ['']}",
        "isURL('https://example.com/') && isURL('/absolute') && !isURL('relative') && !isURL('https://a:b/')",
        # formats
        "!format.dns1123Label().validate('my-label').hasValue()",
        "format.named('dns1123Label').value().validate('Contains Space').value().size() == 1",
        "!format.named('nothing').hasValue() && !format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
        "format.date().validate('x').value() == ['invalid date']",
        "!format.dns1123LabelPrefix().validate('a-').hasValue() && format.dns1123Label().validate('a-').hasValue()",
        # types
        "type(quantity('1')) != type(semver('1.0.0')) && type(ip('::1')) == net.IP",
    ],
)  # fmt: skip
def test_true(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a'.charAt(5)", "index out of range: 5"),
        ("'a'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
        ("'%d'.format(['a'])", "error during formatting: decimal clause can only be used on integers, was given string"),
        ("'%d'.format([])", "index 0 out of range"),
        ("dyn([]).min() == 1", "min called on empty list"),
        ("[1].slice(0, 5)", "cannot slice(0, 5), list is length 1"),
        ("quantity('x')", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("quantity('1.5').asInteger()", "cannot convert value to integer"),
        ("semver('1.0')", "No Major.Minor.Patch elements found"),
        ("ip('x')", 'IP Address "x" parse error during conversion from string: ParseAddr("x"): unable to parse IP'),
        ("ip('::ffff:1.2.3.4')", 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'),
        ("url('x')", 'URL parse error during conversion from string: parse "x": invalid URI for request'),
        ("'a'.find('(')", "Illegal regex: error parsing regexp: missing closing ): `(`"),
        ("'a'.matches(string('(?=a)'))", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
    ],
)  # fmt: skip
def test_errors(text: str, expected: str) -> None:
    with pytest.raises(CelError) as caught:
        value(text)
    assert str(caught.value) == expected


@pytest.mark.parametrize("text", ["math.greatest(1, 2)", "base64.encode(b'a')", "'a'.reverse()", "cel.bind(a, 1, a)"])
def test_what_kubernetes_leaves_out(text: str) -> None:
    with pytest.raises(CelTypeError):
        ENVIRONMENT.compile(text)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(a*)*b"])
def test_patterns_that_hang_others(pattern: str) -> None:
    """On a backtracking matcher each of these takes longer than the universe is old."""
    assert Environment().compile(f"'{'a' * 5000}!'.matches('{pattern}')").run({}) is False


def test_texts_cannot_be_blown_up() -> None:
    text = "'" + "a" * 5000 + "'"
    with pytest.raises(CelError):
        value(f"{text}.replace('a', {text}).size() > 0")

"""Certificates others accept, and files that are whole or not there."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509

from component_base.clock import ManualClock
from component_base.pki import CertificateAuthority, Usage, days_left, signing_key_pair, spki_hash, write_private

NOW = 1_800_000_000.0


@pytest.fixture
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("test", clock=ManualClock(NOW))


def test_a_certificate_says_who_and_what_for(authority: CertificateAuthority) -> None:
    pair = authority.issue("ann", ("admins", "devs"), ("localhost",), ("127.0.0.1", "::1"), Usage.SERVER | Usage.CLIENT)
    found = x509.load_pem_x509_certificate(pair.certificate)
    found.verify_directly_issued_by(authority.certificate)
    assert found.subject.rfc4514_string() == "CN=ann,O=devs,O=admins"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert len(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == 2
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_validity_begins_a_little_earlier_and_ends_with_the_authority() -> None:
    authority = CertificateAuthority.create("short", days=10, clock=ManualClock(NOW))
    found = x509.load_pem_x509_certificate(authority.issue("ann").certificate)
    assert found.not_valid_before_utc.timestamp() == NOW - 300
    assert found.not_valid_after_utc == authority.certificate.not_valid_after_utc
    assert days_left(authority.issue("ann").certificate, NOW) == pytest.approx(10.0)


def test_an_authority_is_read_back(authority: CertificateAuthority, tmp_path: Path) -> None:
    authority.pair().write(tmp_path / "ca.crt", tmp_path / "ca.key")
    again = CertificateAuthority.load(tmp_path / "ca.crt", tmp_path / "ca.key")
    x509.load_pem_x509_certificate(again.issue("ann").certificate).verify_directly_issued_by(authority.certificate)
    assert spki_hash(again.certificate_pem) == spki_hash(authority.certificate_pem)
    assert spki_hash(again.certificate_pem).startswith("sha256:")


def test_keys_are_for_their_owner_only(authority: CertificateAuthority, tmp_path: Path) -> None:
    authority.pair().write(tmp_path / "a" / "ca.crt", tmp_path / "a" / "ca.key")
    assert stat.S_IMODE((tmp_path / "a" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a" / "ca.crt").stat().st_mode) == 0o644
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["ca.crt", "ca.key"]


def test_a_looser_file_is_tightened(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nonsense")
    (tmp_path / "ca.key").write_text("nonsense")
    with pytest.raises(ValueError, match=r"ca\.crt is not a PEM certificate"):
        CertificateAuthority.load(tmp_path / "ca.crt", tmp_path / "ca.key")


def test_a_foreign_key_is_signed(authority: CertificateAuthority) -> None:
    _, public = signing_key_pair()
    assert public.startswith(b"-----BEGIN PUBLIC KEY-----")
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(public)
    pem = authority.sign(key, "ann", days=1)  # type: ignore[arg-type]
    found = x509.load_pem_x509_certificate(pem)
    life = found.not_valid_after_utc - datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    assert life == datetime.timedelta(days=1)

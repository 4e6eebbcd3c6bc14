"""Which certificates are admitted to a listener, beyond being signed by the trusted authority."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AllowedNames:
    """A certificate has to carry this common name, or be good for one of these hosts; whichever is given."""

    common_name: str = ""
    hosts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.common_name or self.hosts)

    def admits(self, certificate: bytes | None) -> bool:
        """`certificate` in DER, verified by TLS."""
        if not self:
            return True
        if certificate is None:
            return False
        # Only listeners with such a rule read certificates; the library takes 8 MB in every member otherwise.
        from cryptography import x509

        found = x509.load_der_x509_certificate(certificate)
        names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        if self.common_name:
            return any(name.value == self.common_name for name in names)
        try:
            alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return False
        good_for = {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
        good_for |= {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
        return any(_covers(good_for, host.lower()) for host in self.hosts)


def _covers(good_for: set[str], host: str) -> bool:
    _, dot, domain = host.partition(".")
    return host in good_for or bool(dot and f"*.{domain}" in good_for)

"""A small certificate authority: X.509 over ECDSA P-256 (RFC 5280). Takes `now`, does no I/O.

A certificate's common name says who its holder is: a site's id, `collector` or `broker`. The key may be made elsewhere:
`issue` needs the public one alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME: Final = "linkweather authority"
AUTHORITY_DAYS: Final = 3650
DAYS: Final = 397
# Clocks of other machines may be behind ours.
_EARLIER: Final = timedelta(hours=1)

PrivateKey = ec.EllipticCurvePrivateKey


class Authority:
    """Signs certificates and the list of revoked ones with its `key`."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @classmethod
    def create(cls, now: datetime) -> Authority:
        """A new one, of ten years."""
        key = new_key()
        until = now + timedelta(days=AUTHORITY_DAYS)
        builder = _builder(_name(NAME), _name(NAME), key.public_key(), now, until)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        builder = _with_identifiers(builder, key.public_key(), key.public_key())
        return cls(key, builder.sign(key, hashes.SHA256()))

    def issue(
        self,
        name: str,
        public_key: ec.EllipticCurvePublicKey,
        now: datetime,
        *,
        hosts: Sequence[str] = (),
        days: int = DAYS,
    ) -> x509.Certificate:
        """A certificate for a client and, where it has `hosts`, names or addresses, for a server there as well."""
        until = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        builder = _builder(_name(name), self.certificate.subject, public_key, now, until)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_host, hosts)), critical=False)
        return _with_identifiers(builder, public_key, self.key.public_key()).sign(self.key, hashes.SHA256())

    def revocations(self, revoked: Mapping[int, datetime], now: datetime) -> x509.CertificateRevocationList:
        """The list of the certificates, by serial number, that count no longer, and since when.

        It is valid as long as the authority: a broker refuses everybody once its list is out of date.
        """
        builder = x509.CertificateRevocationListBuilder(
            self.certificate.subject, now, self.certificate.not_valid_after_utc
        )
        for serial, at in sorted(revoked.items()):
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            builder = builder.add_revoked_certificate(one.build())
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        builder = builder.add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def new_key() -> PrivateKey:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """A private key as text, without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem(signed: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """A certificate or list as text."""
    return signed.public_bytes(serialization.Encoding.PEM)


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses of a server's certificate; none of a client's."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *map(str, addresses))


def name_of(certificate: x509.Certificate) -> str:
    """Who holds a certificate."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def revoked_in(revocations: x509.CertificateRevocationList) -> dict[int, datetime]:
    """The serial numbers of a list, and since when each is revoked."""
    return {one.serial_number: one.revocation_date_utc for one in revocations}


def valid(certificates: Iterable[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """Those whose time is not over."""
    return [one for one in certificates if one.not_valid_after_utc > now]


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    serial = x509.random_serial_number()
    return x509.CertificateBuilder(issuer, subject, key, serial, now - _EARLIER, until)


def _with_identifiers(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey, issuer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    # RFC 5280 §4.2.1.1 and §4.2.1.2: strict verifiers demand both.
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)
    return builder.add_extension(identifier, critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    """A holder signs handshakes, the authority signs certificates and lists."""
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signs,
        crl_sign=not signs,
        encipher_only=False,
        decipher_only=False,
    )

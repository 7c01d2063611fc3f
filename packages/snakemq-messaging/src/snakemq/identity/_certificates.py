"""Certificates that name their owner, signed by an authority of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snakemq.exceptions import NotProven
from snakemq.link import CertificateCheck, PeerCredentials

from ._identity import Identity, Proof

_PLACE = "{ident}"


class CertificateIdents:
    """Admits a peer whose certificate names its ident. So the authority decides which peer may have
    which ident.

    ``uri``: a template such as ``"spiffe://corp.example/{ident}"``. The certificate must have an
    alternative name of the kind URI that is the template with the ident in it. Characters that
    are not ASCII letters, digits or one of ``-._~`` are percent-encoded there.

    ``dns``: the ident is an alternative name of the kind DNS.

    ``common_name``: the ident is the common name. Only for certificates without alternative names
    of the kinds URI and DNS, and with one common name.

    At least one of the three is needed. With several, the first kind that the certificate has
    decides: a certificate with URIs is never believed because of a DNS name.

    Names are compared character by character. Upper and lower case differ, nothing is normalised,
    and ``*`` means nothing special.

    The certificate must have been checked against an authority of your own: the ``ca_certs`` of
    :class:`~snakemq.link.SSLConfig`. A public authority signs ``bob.example`` for everybody who has
    that domain. Of a context of your own (``SSLConfig(context=...)``) nobody knows what it trusts;
    say ``trust_context=True`` if it trusts nothing but your authority.

    Raises ``ValueError`` for a template that is not one.
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        dns: bool = False,
        common_name: bool = False,
        trust_context: bool = False,
    ) -> None:
        if uri is None and not dns and not common_name:
            raise ValueError("say which names count: uri=..., dns=True or common_name=True")
        if uri is not None:
            _check_template(uri)
        self._uri = uri
        self._dns = dns
        self._common_name = common_name
        self._trusted = {CertificateCheck.CA_CERTS}
        if trust_context:
            self._trusted.add(CertificateCheck.CONTEXT)
        self._domain = "" if uri is None else uri.partition("://")[2].partition("/")[0]

    def check(self, claimed: str, connection: PeerCredentials) -> Identity:
        """See :meth:`Authenticator.check`."""
        if connection.certificate is None:
            raise NotProven("it has shown no certificate")
        if connection.checked_against not in self._trusted:
            raise NotProven("its certificate was not checked against an authority of our own")
        names = dict.fromkeys(_names(connection.certificate_fields))
        kind, wanted = self._wanted(claimed, {kind for kind, _ in names})
        if (kind, wanted) not in names:
            raise NotProven("its certificate has another name")
        return Identity(
            claimed,
            self._domain if kind == "URI" else "",
            Proof.CERTIFICATE,
            frozenset(f"{kind}:{name}" for kind, name in names),
            connection.fingerprint,
        )

    def _wanted(self, claimed: str, kinds: set[str]) -> tuple[str, str]:
        """Return the kind and the text of the name that the certificate must have."""
        if self._uri is not None and "URI" in kinds:
            from urllib.parse import quote  # takes 3 ms, and most do without

            return "URI", self._uri.replace(_PLACE, quote(claimed, safe=""))
        if self._dns and "DNS" in kinds:
            return "DNS", claimed
        if self._common_name and "CN" in kinds and not kinds & {"URI", "DNS"}:
            return "CN", claimed
        raise NotProven("its certificate has no name of a kind that counts")


def _names(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the alternative names of a certificate, and the common name if there is only one."""
    yield from fields.get("subjectAltName", ())
    common_names = [
        value
        for parts in fields.get("subject", ())
        for kind, value in parts
        if kind == "commonName"
    ]
    if len(common_names) == 1:
        yield "CN", common_names[0]


def _check_template(uri: str) -> None:
    rest = uri.replace(_PLACE, "", 1)
    if rest == uri or "{" in rest or "}" in rest:
        raise ValueError(f"uri must have {_PLACE} in it once, and no other braces: {uri!r}")
    scheme, separator, after = uri.partition("://")
    if not scheme or not separator or _PLACE in scheme or after.startswith((_PLACE, "/")):
        raise ValueError(f"uri must begin like spiffe://corp.example/, before {_PLACE}: {uri!r}")

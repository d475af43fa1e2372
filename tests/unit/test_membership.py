# SPDX-License-Identifier: Apache-2.0
"""The Swarm's id in a node's certificate, as SwarmKit issues it: O= the Swarm, OU= the role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kurier.docker.membership import certificate_of, read_cluster, stamp_of
from kurier.model.errors import Code, KurierError

SWARM = "k7bqz3s5dbj1wb0u0y9sytc3k"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = certificate_of(str(tmp_path))
    found.parent.mkdir(parents=True)
    return found


def issue(path: Path, *organizations: str) -> None:
    """Writes a certificate with these organizations, as a node gets it; the key lies elsewhere."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "swarm-worker"),
            x509.NameAttribute(NameOID.COMMON_NAME, "f2a6qy0hvk0i1n8mj3m4mlbg5"),
        ]
    )
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=90))
    certificate = builder.sign(key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def test_the_organization_is_the_swarm(path: Path) -> None:
    issue(path, SWARM)
    assert read_cluster(path) == SWARM


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_certificate_that_tells_nothing_is_a_sentence(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KurierError, match=r"set daemon\.environment") as refused:
        read_cluster(path)
    assert refused.value.code is Code.INTERNAL
    assert str(path) in refused.value.sentence


def test_a_certificate_without_organization_is_a_sentence(path: Path) -> None:
    issue(path)
    with pytest.raises(KurierError, match="does not tell"):
        read_cluster(path)


def test_the_stamp_changes_with_the_certificate(path: Path) -> None:
    assert stamp_of(path) is None
    issue(path, SWARM)
    first = stamp_of(path)
    assert first is not None
    assert stamp_of(path) == first
    another = path.with_name("new.crt")
    issue(another, SWARM)
    another.replace(path)  # as the engine renews it
    assert stamp_of(path) not in (None, first)
    path.unlink()
    assert stamp_of(path) is None

# SPDX-License-Identifier: Apache-2.0
"""Which Swarm an engine is in, as the node's own certificate tells it.

A manager's API tells the Swarm's id, a worker's does not. On both it is the organization of the
certificate that the node got when it joined (SwarmKit, `ca/certificates.go`); it is there before
the node's first task and goes when the node leaves.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from kurier.model.errors import Code, KurierError

_CERTIFICATE = Path("swarm/certificates/swarm-node.crt")

Stamp = tuple[int, int]
"""A file's inode and time of change in nanoseconds: another one means another file."""


def certificate_of(root: str) -> Path:
    """Where the engine with this data root keeps its Swarm certificate."""
    return Path(root) / _CERTIFICATE


def stamp_of(certificate: Path) -> Stamp | None:
    """What changes whenever the certificate does; None while there is none."""
    try:
        found = certificate.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def read_cluster(certificate: Path) -> str:
    """The Swarm's id; raises INTERNAL where the certificate cannot be read."""
    try:
        node = x509.load_pem_x509_certificate(certificate.read_bytes())
        organizations = node.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return str(organizations[0].value)
    except (OSError, ValueError, IndexError) as error:
        raise KurierError(
            Code.INTERNAL,
            f"The engine is in a Swarm whose id {certificate} does not tell ({error}): give Kurier "
            "access to the engine's data root, or set daemon.environment.",
        ) from error

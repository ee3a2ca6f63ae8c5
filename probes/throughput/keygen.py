"""The child process that makes iperf3's RSA key pair: `python -m probes.throughput.keygen PRIVATE PUBLIC`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def main(private: Path, public: Path) -> None:
    """Write both files in PEM, the private one for its owner alone."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for path, pem in ((private, private_pem), (public, public_pem)):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

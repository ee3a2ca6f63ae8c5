"""Makes iperf3's RSA key pair in a child process: `python -m probes.throughput.keygen PRIVATE PUBLIC`.

A room of its own, so that the daemon does not load the cryptography package.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from linkweather import atomicfile


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
        atomicfile.replace(path, pem, mode=0o600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

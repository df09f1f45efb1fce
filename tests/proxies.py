"""The example of a proxy with TLS, infra/proxy, started before services that a test names."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

EXAMPLE = Path(__file__).resolve().parents[1] / "infra" / "proxy" / "nginx.conf"
PREFECT, MLFLOW = NAMES = ("prefect.example.org", "mlflow.example.org")
MAIN = "daemon off; user {user}; pid {root}/pid; error_log {root}/error; events {{}}\n"
HTTP = "http {{ access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/temporary;\n{example}\n}}\n"
LIMIT_S = 20.0


@dataclass(frozen=True)
class Proxy:
    """Its ports without and with TLS, and the file by which its certificate is checked."""

    plain: int
    tls: int
    authority: Path

    def ask(self, name: str, path: str = "/", method: str = "GET", *, body: Any = None, **headers: str) -> Any:
        """The status, the text and the headers of an answer by TLS, whose certificate is checked for that name."""
        context = ssl.create_default_context(cafile=self.authority)
        connection = HTTPSConnection(name, self.tls, context=context, timeout=LIMIT_S)
        plain = socket.create_connection(("127.0.0.1", self.tls), LIMIT_S)
        connection.sock = context.wrap_socket(plain, server_hostname=name)
        with closing(connection):
            connection.request(method, path, body, {key.replace("_", "-"): each for key, each in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers


@contextmanager
def started(root: Path, prefect: int, mlflow: int) -> Iterator[Proxy]:
    """nginx with the example, but for its folder, its ports and the certificate."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: infra/packages")
    certify(root)
    plain, tls = free_port(), free_port()
    told = {
        "/etc/tercet/tls": str(root), "http://127.0.0.1:4200": f"http://127.0.0.1:{prefect}",
        "http://127.0.0.1:5000": f"http://127.0.0.1:{mlflow}",
        "listen 80;": f"listen 127.0.0.1:{plain};", "listen 443": f"listen 127.0.0.1:{tls}",
    }  # fmt: skip
    example = EXAMPLE.read_text()
    for old, new in told.items():
        assert old in example
        example = example.replace(old, new)
    user = "root" if os.geteuid() == 0 else "nobody"
    (root / "nginx.conf").write_text((MAIN + HTTP).format(root=root, user=user, example=example))
    with subprocess.Popen([program, "-p", str(root), "-e", f"{root}/error", "-c", f"{root}/nginx.conf"]) as nginx:
        try:
            await_port(tls, nginx, root)
            yield Proxy(plain, tls, root / "fullchain.pem")
        finally:
            nginx.terminate()


def certify(root: Path) -> None:
    """Write a key, and a certificate of it for both names that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tried")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in NAMES]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (root / "privkey.pem").write_bytes(private)
    (root / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def free_port() -> int:
    """A port at which nobody listens now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def await_port(port: int, nginx: "subprocess.Popen[bytes]", root: Path) -> None:
    """Return when it listens."""
    end = time.monotonic() + LIMIT_S
    while nginx.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail((root / "error").read_text())

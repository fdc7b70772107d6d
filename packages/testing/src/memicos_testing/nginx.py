"""The nginx example of deploy/nginx, run by nginx on free ports in front of a webapp."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memicos_testing.servers import free_port

EXAMPLE = Path(__file__).parents[4] / "deploy/nginx/memicos.conf"
SEARCH_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
START_SECONDS = 30


@dataclass(frozen=True)
class Site:
    """Addresses of the site without a path, as `http://localhost:1234`, and the certificate of the second one."""

    http: str
    https: str
    certificate: Path


def _make_certificate(certificate: Path, key: Path) -> None:
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"nginx ended with exit status {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nginx does not listen after {START_SECONDS} s")


@contextmanager
def nginx_site(webapp_url: str, folder: Path) -> Iterator[Site]:
    """Serve the webapp below `/memicos/` on http and https with the example, changed only in addresses and files.

    The webapp needs `root_path` `/memicos` and `trusted_proxies` `127.0.0.1`. `folder` gets the files of nginx.
    """
    program = shutil.which("nginx", path=SEARCH_PATH)
    assert program, "nginx is not installed: apt-get install nginx-light"
    certificate, key = folder / "site.pem", folder / "site.key"
    _make_certificate(certificate, key)
    http, https = free_port(), free_port()
    text = EXAMPLE.read_text()
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443 ssl;": f"listen 127.0.0.1:{https} ssl;",
        "server_name example.org;": "server_name localhost;",
        "/etc/ssl/example.org.pem": str(certificate),
        "/etc/ssl/example.org.key": str(key),
        "http://127.0.0.1:3000": webapp_url,
    }.items():
        assert text.count(old) == 1, f"{EXAMPLE} has not exactly one {old!r}"
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off;\nevents {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/a; uwsgi_temp_path {folder}/b; scgi_temp_path {folder}/c;\n{text} }}\n"
    )
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"])
    try:
        _wait_until_it_listens(process, http)
        yield Site(f"http://localhost:{http}", f"https://localhost:{https}", certificate)
    finally:
        process.terminate()
        process.wait()

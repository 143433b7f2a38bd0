"""A real registry (Debian's docker-registry) on loopback, for tests and measurements.

    with Registry() as registry:
        registry.push(engine, "busybox:latest", "some/box:1")
        engine.docker("pull", f"{registry.host}/some/box:1")
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

from .ports import free_port


class Registry:
    def __init__(self, password=None, cert=None, key=None, client_ca=None):
        """password: "user:password" for Basic authentication. cert, key: PEM files, for TLS; client_ca: whose clients come in."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="pouch-registry-"))
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.password = password
        http = {"addr": self.host, "secret": "tests"}
        if cert:
            http["tls"] = {"certificate": str(cert), "key": str(key), **({"clientcas": [str(client_ca)]} if client_ca else {})}
        self.tls = bool(cert)
        config = {"version": "0.1", "log": {"level": "debug", "accesslog": {"disabled": False}},
                  "storage": {"filesystem": {"rootdirectory": str(self.dir / "data")}, "delete": {"enabled": True}},
                  "http": http}
        if password:
            import crypt
            user, secret = password.split(":")
            line = f"{user}:{crypt.crypt(secret, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n"
            (self.dir / "htpasswd").write_text(line)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.dir / "htpasswd")}}
        (self.dir / "config.yml").write_text(json.dumps(config))
        self.log_path = self.dir / "log"
        self.process = None

    def __enter__(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve",
                                             str(self.dir / "config.yml")], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise AssertionError("the registry does not serve: " + self.log())
                time.sleep(0.02)

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def requests(self):
        """("GET", "/v2/…", status) of everything that was asked, in order."""
        deadline = time.monotonic() + 60
        while True:
            log = self.log()
            # 127.0.0.1 - - [date] "GET /v2/ HTTP/1.1" 200 2 "" "agent"
            found = re.findall(r'^\S+ - \S+ \[.*?\] "(\S+) (/v2/\S*) HTTP/1\.1" (\d+) .*\n', log, re.M)
            # Such a line is written behind the answer; this one before it.
            if len(found) == log.count('msg="authorizing request"'):
                return [(method, path, int(status)) for method, path, status in found]
            assert time.monotonic() < deadline, log
            time.sleep(0.01)

    def skopeo(self, *arguments, check=True):
        credentials = ["--dest-creds", self.password] if self.password and arguments[0] == "copy" else []
        done = subprocess.run(["skopeo", "--insecure-policy", arguments[0], *credentials, *map(str, arguments[1:])],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              env={**os.environ, "HOME": str(self.dir)})
        assert not check or done.returncode == 0, f"skopeo {arguments}: {done.stderr}"
        return done

    def push(self, engine, image, name, form="v2s2"):
        """Put an image of an engine here, by skopeo. form: v2s2 or oci."""
        archive = self.dir / "image.tar"
        engine.docker("save", "-o", archive, image)
        self.skopeo("copy", "-q", "--format", form, "--dest-tls-verify=false", f"docker-archive:{archive}",
                    f"docker://{self.host}/{name}")
        archive.unlink()

    def get(self, path, accept=None):
        """Body and headers of a GET."""
        request = urllib.request.Request(f"http://{self.host}{path}", headers={"Accept": accept} if accept else {})
        with urllib.request.urlopen(request) as answer:
            return answer.read(), answer.headers

"""A registry that does what a test wants: it serves images made in memory, asks for tokens, notes every request, and
misbehaves where it is told to.

    with FakeRegistry() as registry:
        image = registry.add("some/box", "1", [tar, tar])
        registry.misbehave = lambda handler: handler.path.endswith(image.layers[0]) and handler.half()
"""
import base64
import gzip
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Image:
    """What one manifest names; `manifest` may be changed, then registry.put() again."""

    def __init__(self, layers, config=None, media=LAYER, pack=lambda data: gzip.compress(data, 1)):
        self.blobs = [pack(layer) for layer in layers]
        self.layers = [digest(blob) for blob in self.blobs]
        document = {"architecture": "amd64", "os": "linux", "config": {}, "created": "2020-01-01T00:00:00Z",
                    "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}
        self.config = json.dumps({**document, **(config or {})}).encode()
        self.manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(self.config), "digest": digest(self.config)},
            "layers": [{"mediaType": media, "size": len(blob), "digest": digest(blob)} for blob in self.blobs]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        registry = self.server.registry
        registry.seen.append((self.command, self.path, dict(self.headers)))
        if registry.misbehave and registry.misbehave(self):
            return
        if self.path.startswith("/token"):
            self.token()
        elif self.allowed():
            self.content()

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        pass

    # ---- as it should be ----

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    def error(self, status, code, **headers):
        return self.answer(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(),
                           Content_Type="application/json", **headers)

    def allowed(self):
        registry = self.server.registry
        given = self.headers.get("Authorization", "")
        if not registry.realm and not registry.password:
            return True
        if registry.realm and given.startswith("Bearer ") and registry.take_token(given[7:]):
            return True
        if not registry.realm and given == registry.basic():
            return True
        challenge = (f'Bearer realm="{registry.realm}",service="tests",scope="repository:x:pull"' if registry.realm
                     else 'Basic realm="tests"')
        self.error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
        return False

    def token(self):
        registry = self.server.registry
        if self.command == "POST":
            form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            registry.forms.append(form)
            good = registry.grants(dict(urllib.parse.parse_qsl(form)))
        elif registry.oauth_only:
            return self.error(registry.oauth_only, "UNSUPPORTED")
        else:
            good = not registry.password or self.headers.get("Authorization") == registry.basic()
        if not good:
            return self.error(401, "UNAUTHORIZED")
        name = registry.new_token()
        key = "access_token" if self.command == "POST" else "token"
        answer = {key: name, "expires_in": 300}
        if registry.identity and ("offline_token=true" in self.path or self.command == "POST" and "access_type=offline" in form):
            answer["refresh_token"] = registry.identity
        return self.answer(200, json.dumps(answer).encode(), Content_Type="application/json")

    def content(self):
        registry = self.server.registry
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", self.path)
        if self.path == "/v2/":
            return self.answer(200, b"{}")
        if found and found[2] == "manifests":
            body = registry.manifests.get((found[1], found[3]))
            if body is not None:
                return self.answer(200, body[0], Content_Type=body[1], Docker_Content_Digest=digest(body[0]))
            return self.error(404, "MANIFEST_UNKNOWN")
        body = registry.blobs.get(found[3]) if found else registry.files.get(self.path)
        if body is None:
            return self.error(404, "BLOB_UNKNOWN")
        return self.blob(body)

    def blob(self, body):
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not part:
            return self.answer(200, body, Content_Type="application/octet-stream")
        begin = int(part[1])
        return self.answer(206, body[begin:], Content_Range=f"bytes {begin}-{len(body) - 1}/{len(body)}")

    # ---- as it should not be ----

    def body(self):
        """What would be answered."""
        registry = self.server.registry
        return registry.blobs.get(self.path.rpartition("/")[2], b"x" * 1000)

    def half(self):
        """Half of the rest, and then the connection is closed."""
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin, body = int(part[1]) if part else 0, self.body()
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(len(body) - begin))
        if part:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(body[begin:begin + max(1, (len(body) - begin) // 2)])
        self.close_connection = True
        return True

    def stall(self):
        """A beginning, and then nothing until the test is over or the client gone."""
        body = self.body()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100])
        self.wfile.flush()
        self.server.registry.over.wait(60)
        self.close_connection = True
        return True

    def endless(self, head=200, first=b"", piece=b"x" * 65536):
        """Bytes until the client has enough, behind what may be the true ones."""
        self.send_response(head)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        try:
            if first:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(first), first))
            while not self.server.registry.over.is_set():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        except OSError:
            pass
        return True

    def endless_head(self):
        self.close_connection = True
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.server.registry.over.is_set():
                self.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        except OSError:
            pass
        return True

    def redirect(self, location, status=307):
        return self.answer(status, Location=location)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass


class FakeRegistry:
    def __init__(self, address="127.0.0.1", tls=None):
        """tls: an ssl.SSLContext of a server."""
        self.server = Server((address, 0), Handler)
        self.server.registry = self
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"{address}:{self.server.server_address[1]}"
        self.url = f"http{'s' if tls else ''}://{self.host}"
        self.manifests, self.blobs, self.files = {}, {}, {}
        self.seen, self.forms = [], []
        self.misbehave = None
        self.realm = self.password = self.identity = None  # how it asks for who one is
        self.oauth_only = 0  # the status that a GET of a token gets
        self.tokens = {}
        self.token_uses = 1000  # requests that a token is good for
        self.over = threading.Event()
        self.lock = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def reset(self):
        self.misbehave = self.realm = self.password = self.identity = None
        self.token_uses, self.oauth_only = 1000, 0
        self.seen, self.forms, self.tokens = [], [], {}

    def basic(self):
        return "Basic " + base64.b64encode(self.password.encode()).decode() if self.password else None

    def grants(self, form):
        """OAuth 2: a refresh of the identity token, or a password where nothing else works."""
        if form.get("grant_type") == "refresh_token":
            return self.identity and form.get("refresh_token") == self.identity
        return (form.get("grant_type") == "password" and self.oauth_only
                and f"{form.get('username')}:{form.get('password')}" == self.password)

    def new_token(self):
        with self.lock:
            name = f"token-{len(self.tokens)}"
            self.tokens[name] = self.token_uses
            return name

    def take_token(self, name):
        with self.lock:
            left = self.tokens.get(name, 0)
            self.tokens[name] = left - 1
            return left > 0

    def add(self, name, tag, layers, **more):
        image = Image(layers, **more)
        self.put(name, tag, image)
        return image

    def put(self, name, tag, image, text=None, media=MANIFEST):
        """The image's blobs, and its manifest (or other text) under the tag and its digest. Returns the digest."""
        text = json.dumps(image.manifest).encode() if text is None else text
        self.blobs.update(zip(image.layers, image.blobs))
        self.blobs[digest(image.config)] = image.config
        for reference in (tag, digest(text)):
            self.manifests[name, reference] = (text, media)
        return digest(text)

    def asked(self, method=None):
        """Paths that were asked for."""
        return [path for how, path, _ in self.seen if method in (None, how)]

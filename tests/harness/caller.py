"""Requests as another user, and as a client that the policy knows by its groups."""
import base64
import json
import subprocess
import sys

SCRIPT = """
import base64, http.client, json, socket, sys
path, method, target, body, archive = json.load(sys.stdin)
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
c = Connection("localhost")
kind = "x-tar" if archive else "json"
c.request(method, target, base64.b64decode(archive) if archive else body, {"Content-Type": f"application/{kind}"} if archive or body else {})
r = c.getresponse()
json.dump([r.status, r.read().decode(errors="replace")], sys.stdout)
"""


class Answer:
    def __init__(self, status, body):
        self.status = status
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json["message"]

    def __repr__(self):
        return f"<{self.status} {self.body[:500]}>"


def api_as(engine, uid, method, path, body=None, gid=None, groups=(), socket=None, version="1.43", archive=None):
    """One request of a process with these ids, and with nothing else of root's. `archive`: the bytes of a tar as its body."""
    request = [str(socket or engine.socket), method, f"/v{version}{path}", None if body is None else json.dumps(body),
               archive and base64.b64encode(archive).decode()]
    done = subprocess.run([sys.executable, "-I", "-c", SCRIPT], input=json.dumps(request), text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, user=uid,
                          group=uid if gid is None else gid, extra_groups=list(groups), cwd="/")
    assert done.returncode == 0, done.stderr
    return Answer(*json.loads(done.stdout))

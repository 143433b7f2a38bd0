"""Requests as another user, and as a client that the policy knows by its groups."""
import json
import subprocess
import sys

SCRIPT = """
import http.client, json, socket, sys
path, method, target, body = json.load(sys.stdin)
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
c = Connection("localhost")
c.request(method, target, body, {"Content-Type": "application/json"} if body else {})
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


def api_as(engine, uid, method, path, body=None, gid=None, groups=(), socket=None, version="1.43"):
    """One request of a process with these ids, and with nothing else of root's."""
    request = [str(socket or engine.socket), method, f"/v{version}{path}", None if body is None else json.dumps(body)]
    done = subprocess.run([sys.executable, "-I", "-c", SCRIPT], input=json.dumps(request), text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, user=uid,
                          group=uid if gid is None else gid, extra_groups=list(groups), cwd="/")
    assert done.returncode == 0, done.stderr
    return Answer(*json.loads(done.stdout))

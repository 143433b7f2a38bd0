"""netd's tables in the kernel: what has come and gone piece by piece is what is made anew from the records."""
import json
import os
import random
import re
import signal

from tests.harness.engine import Engine
from tests.harness.machine import Machine

STEPS = 400 if os.environ.get("LONG") else 40
BRIDGE = "com.docker.network.bridge."
# The default network is nowhere among those of the walk.
SETTINGS = ["network.ip-forward=true", "network.bridge.subnet=10.76.0.0/24"]
PORTS = {"80/tcp": [{"HostPort": ""}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
# What a network can ask of the rules.
KINDS = (
    {},
    {"Internal": True},
    {"EnableIPv6": True, "IPAM": {"Config": [{"Subnet": "10.77.N.0/24"}, {"Subnet": "fd00:77:N::/64"}]}},
    {"Options": {BRIDGE + "enable_ip_masquerade": "false"}},
    {"Options": {"com.docker.network.host_ipv4": "192.0.2.1"}},
    {"Options": {BRIDGE + "inhibit_ipv4": "true"}},
    {"Options": {BRIDGE + "gateway_mode_ipv4": "routed"}},
    {"Options": {BRIDGE + "gateway_mode_ipv4": "nat-unprotected"}},
    {"Options": {BRIDGE + "name": "ptsame"}},
)


class Walk:
    """Networks come and go at random, containers with published ports run on them, join and leave."""

    def __init__(self, engine, seed):
        self.engine, self.random, self.count = engine, random.Random(seed), 0
        self.networks, self.containers = {}, {}  # name: kind; name: networks that it is on

    def api(self, method, path, body=None):
        answer = self.engine.api(method, path, body)
        assert answer.status < 300, (method, path, body, answer)

    def create_network(self):
        kind = self.random.choice([kind for kind in KINDS if "name" not in str(kind) or kind not in self.networks.values()])
        name = self.name("net")
        body = json.loads(json.dumps(kind).replace("N", str(self.count)) if "IPAM" in kind else json.dumps(kind))
        body.setdefault("IPAM", {"Config": [{"Subnet": f"10.77.{self.count}.0/24"}]})
        self.api("POST", "/networks/create", {"Name": name, **body})
        self.networks[name] = kind

    def remove_network(self):
        free = [name for name in self.networks if not any(name in on for on in self.containers.values())]
        if free:
            name = self.random.choice(free)
            self.api("DELETE", f"/networks/{name}")
            del self.networks[name]

    def run_container(self):
        name, network = self.name("box"), self.random.choice([*self.networks, "bridge"])
        self.api("POST", f"/containers/create?name={name}",
                 {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": network, "PortBindings": PORTS}})
        self.api("POST", f"/containers/{name}/start")
        self.containers[name] = {network}

    def remove_container(self):
        if self.containers:
            name = self.random.choice(list(self.containers))
            self.api("DELETE", f"/containers/{name}?force=1")
            del self.containers[name]

    def connect(self):
        pairs = [(box, net) for box, on in self.containers.items() for net in self.networks if net not in on]
        if pairs:
            box, net = self.random.choice(pairs)
            self.api("POST", f"/networks/{net}/connect", {"Container": box})
            self.containers[box].add(net)

    def disconnect(self):
        pairs = [(box, net) for box, on in self.containers.items() for net in on if len(on) > 1]
        if pairs:
            box, net = self.random.choice(pairs)
            self.api("POST", f"/networks/{net}/disconnect", {"Container": box})
            self.containers[box].remove(net)

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def step(self):
        steps = {self.create_network: 4, self.remove_network: 3, self.run_container: 2, self.remove_container: 1,
                 self.connect: 3, self.disconnect: 2}
        self.random.choices(list(steps), list(steps.values()))[0]()

    def end(self):
        while self.containers:
            self.remove_container()
        while self.networks:
            self.remove_network()


def rules(host, table):
    """The table as {kind and name: its lines in order, elements in none}. As text: nft 1.0.6 reads freed memory for the JSON of
    a table with flags."""
    text = host.run("nft", "-s", "-n", "list", "table", "inet", table).stdout
    shown = {}
    for kind, name, body in re.findall(r"^\t(\w+) (\S+) \{\n(.*?)^\t\}$", text, re.MULTILINE | re.DOTALL):
        head, _, elements = body.partition("elements = {")
        shown[kind, name] = {"lines": [line.strip() for line in head.splitlines()],
                             "elements": sorted(one.strip() for one in elements.rstrip("\t\n }").split(","))}
    return shown


def both(host, engine):
    return rules(host, engine.nft_table), rules(host, engine.nft_table + "_keep")


def test_pieces_are_the_whole():
    """After any operations the tables are those that the records make: after somebody has removed them, after netd's end."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    with Machine() as host, Engine(machine=host, sets=SETTINGS) as engine:
        engine.busybox()
        walk = Walk(engine, seed)
        for number in range(STEPS):
            walk.step()
            if number % 10 != 9:
                continue
            pieces = both(host, engine)
            host.run("nft", "delete", "table", "inet", engine.nft_table)
            host.run("timeout", "60", "sh", "-c", f"until nft list table inet {engine.nft_table}; do :; done")
            assert both(host, engine) == pieces
        os.kill(engine.pids()["netd"], signal.SIGKILL)
        while engine.api("GET", "/networks").status != 200:
            pass
        assert both(host, engine) == pieces
        walk.end()
        empty = both(host, engine)
        assert {name for _, name in empty[0]} - {name for _, name in empty[1]} and not any(
            "ptsame" in element for table in empty for what in table.values() for element in what["elements"])


def test_a_table_that_others_have_changed_is_made_anew():
    """A network whose bridge is in the table already, since somebody has put it there, is created, and the table is right."""
    with Machine() as host, Engine(machine=host, sets=SETTINGS) as engine:
        host.run("nft", "add", "element", "inet", engine.nft_table, "leaving", '{ "ptother" : drop }')
        body = {"Name": "other", "Options": {BRIDGE + "name": "ptother"}, "IPAM": {"Config": [{"Subnet": "10.77.1.0/24"}]}}
        made = engine.api("POST", "/networks/create", body)
        assert made.status == 201, made
        main, keep = both(host, engine)
        assert main["map", "leaving"]["elements"] == keep["map", "leaving"]["elements"]
        assert len([one for one in main["map", "leaving"]["elements"] if "ptother" in one and "jump" in one]) == 1
        assert engine.api("DELETE", "/networks/other").status == 204

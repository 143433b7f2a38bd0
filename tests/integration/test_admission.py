"""Each rule of a role's "containers" over each field that it watches: refused with the field, the value and the rule.

The role has the rules' defaults, under which no container reaches the host. covers D-7
"""
import json
import os
import pathlib

import pytest

from tests.harness.caller import api_as
from tests.harness.engine import Engine
from tests.harness.rootfs import busybox_tar

PLAIN, CAPPED, NETTED = 54201, 54202, 54203

POLICY = {
    "roles": {
        "plain": {"permissions": ["container.*", "exec.*", "volume.*", "network.*", "image.*"], "containers": {}},
        "netted": {"permissions": ["container.*", "network.*"], "containers": {"networks": ["mine"], "sysctls": []}},
        "capped": {"permissions": ["container.*", "exec.*", "image.*"],
                   "containers": {"max-memory": 67108864, "max-nano-cpus": 500000000, "max-pids": 100, "max-shm": 1048576,
                                  "publish": ["127.0.0.1"], "ports": ["8000-8999"], "networks": ["none"], "volume-drivers": [],
                                  "images": ["docker.io/library/allowed:*"], "log-drivers": ["none"], "sysctls": ["net.*"]}},
    },
    "images": [{"match": "forbidden.example/*", "deny": True}],
    "bindings": [{"role": "admin", "uids": [0]}, {"role": "plain", "uids": [PLAIN]}, {"role": "capped", "uids": [CAPPED]},
                 {"role": "netted", "uids": [NETTED]}],
}


@pytest.fixture(scope="module")
def ruled():
    with Engine(config={"listeners": [{"mode": "0666"}]}, policy=POLICY) as engine:
        engine.busybox()
        engine.busybox("allowed:latest")
        for name in ("theirs",):
            answer = api_as(engine, 0, "POST", f"/containers/create?name={name}",
                            {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none", "IpcMode": "shareable"}})
            assert answer.status == 201, answer
        yield engine


def bind(**options):
    return {"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/m", **({"BindOptions": options} if options else {})}]}


DEVICE = {"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}

# HostConfig; what the refusal names: field, value, rule
RULES = [
    ({"Privileged": True}, "HostConfig.Privileged", "true", "privileged"),
    ({"CapAdd": ["SYS_ADMIN"]}, "HostConfig.CapAdd", "SYS_ADMIN", "capabilities"),
    ({"CapAdd": ["cap_net_admin"]}, "HostConfig.CapAdd", "cap_net_admin", "capabilities"),
    ({"CapAdd": ["ALL"]}, "HostConfig.CapAdd", "ALL", "capabilities"),
    ({"NetworkMode": "host"}, "HostConfig.NetworkMode", "host", "host-namespaces (net)"),
    ({"PidMode": "host"}, "HostConfig.PidMode", "host", "host-namespaces (pid)"),
    ({"IpcMode": "host"}, "HostConfig.IpcMode", "host", "host-namespaces (ipc)"),
    ({"UTSMode": "host"}, "HostConfig.UTSMode", "host", "host-namespaces (uts)"),
    ({"UsernsMode": "host"}, "HostConfig.UsernsMode", "host", "host-namespaces (user)"),
    ({"CgroupnsMode": "host"}, "HostConfig.CgroupnsMode", "host", "host-namespaces (cgroup)"),
    ({"PidMode": "container:theirs"}, "HostConfig.PidMode", "theirs", "join"),
    ({"IpcMode": "container:theirs"}, "HostConfig.IpcMode", "theirs", "join"),
    ({"NetworkMode": "container:theirs"}, "HostConfig.NetworkMode", "theirs", "join"),
    ({"VolumesFrom": ["theirs:ro"]}, "HostConfig.VolumesFrom", "theirs", "join"),
    ({"Links": ["theirs:x"], "NetworkMode": "bridge"}, "HostConfig.Links", "theirs", "join"),
    ({"Binds": ["/etc:/m:ro"]}, "HostConfig.Binds", "/etc", "binds"),
    (bind(), "HostConfig.", "/etc", "binds"),
    ({"Binds": ["/etc:/m:rslave"]}, "HostConfig.Binds", "/etc:/m:rslave", "binds"),
    (bind(Propagation="rslave"), "HostConfig.Mounts", "rslave", "propagation"),
    ({"VolumeDriver": "remote", "Binds": ["v:/m"]}, "HostConfig.VolumeDriver", "remote", "volume-drivers"),
    ({"Mounts": [{"Type": "volume", "Source": "v", "Target": "/m", "VolumeOptions": {"DriverConfig": {"Name": "remote"}}}]},
     "HostConfig.Mounts", "remote", "volume-drivers"),
    ({"Mounts": [{"Type": "volume", "Source": "v", "Target": "/m", "VolumeOptions": {"DriverConfig": {
        "Options": {"type": "none", "device": "/etc", "o": "bind"}}}}]}, "HostConfig.Mounts", "", "volume-options"),
    ({"Devices": [DEVICE]}, "HostConfig.Devices", "/dev/null", "devices"),
    ({"DeviceCgroupRules": ["c 1:3 rwm"]}, "HostConfig.DeviceCgroupRules", "c 1:3 rwm", "device-cgroup-rules"),
    ({"DeviceRequests": [{"Count": -1}]}, "HostConfig.DeviceRequests", "", "device-requests"),
    ({"Sysctls": {"kernel.core_pattern": "x"}}, "HostConfig.Sysctls", "kernel.core_pattern", "sysctls"),
    ({"SecurityOpt": ["seccomp=unconfined"]}, "HostConfig.SecurityOpt", "seccomp=unconfined", "security-options"),
    ({"SecurityOpt": ["seccomp:unconfined"]}, "HostConfig.SecurityOpt", "seccomp", "security-options"),
    ({"SecurityOpt": ["apparmor=unconfined"]}, "HostConfig.SecurityOpt", "apparmor=unconfined", "security-options"),
    ({"SecurityOpt": ["label=disable"]}, "HostConfig.SecurityOpt", "label=disable", "security-options"),
    ({"SecurityOpt": ["no-new-privileges=false"]}, "HostConfig.SecurityOpt", "no-new-privileges=false", "security-options"),
    ({"SecurityOpt": ["systempaths=unconfined"]}, "HostConfig.SecurityOpt", "systempaths=unconfined", "security-options"),
    ({"MaskedPaths": []}, "HostConfig.MaskedPaths", "[]", "masked-paths"),
    ({"ReadonlyPaths": []}, "HostConfig.ReadonlyPaths", "[]", "masked-paths"),
    ({"Runtime": "other"}, "HostConfig.Runtime", "other", "runtimes"),
    ({"CgroupParent": "/system"}, "HostConfig.CgroupParent", "/system", "cgroup-parents"),
    ({"LogConfig": {"Type": "syslog"}}, "HostConfig.LogConfig", "syslog", "log-drivers"),
    ({"OomKillDisable": True, "Memory": 67108864}, "HostConfig.OomKillDisable", "true", "oom"),
    ({"OomScoreAdj": -500}, "HostConfig.OomScoreAdj", "-500", "oom"),
    ({"CpuRealtimeRuntime": 1000}, "HostConfig.CpuRealtimeRuntime", "1000", "realtime"),
    ({"CpuRealtimePeriod": 1000}, "HostConfig.CpuRealtimePeriod", "1000", "realtime"),
    ({"Ulimits": [{"Name": "rtprio", "Soft": 1, "Hard": 1}]}, "HostConfig.Ulimits", "rtprio", "realtime"),
    ({"Ulimits": [{"Name": "RtPrio", "Soft": 1, "Hard": 1}]}, "HostConfig.Ulimits", "RtPrio", "realtime"),
    ({"Annotations": {"org.example": "x"}}, "HostConfig.Annotations", "org.example", "annotations"),
]


def explain(engine, uid, document):
    return engine.ctl("--config", engine.config_path, "policy", "explain", "--policy", engine.policy_path, "--as", f"uid:{uid}",
                      input=json.dumps(document), check=False)


def create(engine, uid, host, image="busybox:latest"):
    return {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **host}}, uid, engine


def refused(engine, uid, host, field, value, rule, role, image="busybox:latest"):
    document = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **host}}
    answer = api_as(engine, uid, "POST", "/containers/create", document, version="1.47")
    assert answer.status == 403, answer
    for word in (field, value, rule, role):
        assert word in answer.message, (word, answer.message)
    return document, answer


@pytest.mark.parametrize("host,field,value,rule", RULES, ids=[f"{i}-{next(iter(row[0]))}" for i, row in enumerate(RULES)])
def test_default_rules(ruled, host, field, value, rule):
    document, answer = refused(ruled, PLAIN, host, field, value, rule, "of role plain")
    if "container:" not in str(host) and "theirs" not in str(host):  # who owns a container, only the engine knows
        done = explain(ruled, PLAIN, document)
        assert done.returncode == 3 and rule in done.stdout, (done.stdout, done.stderr)
        if rule != "binds":
            assert answer.message.split(": ", 1)[1] in done.stdout


CEILINGS = [
    ({}, "HostConfig.Memory", "0 (no limit)", "max-memory"),
    ({"Memory": 67108865}, "HostConfig.Memory", "67108865", "max-memory"),
    ({"Memory": 67108864, "MemorySwap": -1}, "HostConfig.MemorySwap", "-1", "max-memory"),
    ({"Memory": 67108864, "MemorySwap": 1 << 40}, "HostConfig.MemorySwap", str(1 << 40), "max-memory"),
    ({"Memory": 67108864}, "HostConfig.NanoCpus", "no limit", "max-nano-cpus"),
    ({"Memory": 67108864, "NanoCpus": 500000001}, "HostConfig.NanoCpus", "500000001", "max-nano-cpus"),
    ({"Memory": 67108864, "CpuQuota": 60000, "CpuPeriod": 100000}, "HostConfig.NanoCpus", "600000000", "max-nano-cpus"),
    ({"Memory": 67108864, "CpuQuota": 60000}, "HostConfig.NanoCpus", "600000000", "max-nano-cpus"),
    ({"Memory": 67108864, "NanoCpus": 500000000}, "HostConfig.PidsLimit", "4096", "max-pids"),
    ({"Memory": 67108864, "NanoCpus": 500000000, "PidsLimit": -1}, "HostConfig.PidsLimit", "-1", "max-pids"),
    ({"ShmSize": 1048577}, "HostConfig.ShmSize", "1048577", "max-shm"),
    ({"PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}, "HostConfig.PortBindings", "0.0.0.0", "publish"),
    ({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}, "HostConfig.PortBindings", "", "publish"),
    ({"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "22"}]}}, "HostConfig.PortBindings", "22", "ports"),
    ({"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}}, "HostConfig.PortBindings", "0", "ports"),
    ({"PublishAllPorts": True}, "HostConfig.PublishAllPorts", "0.0.0.0", "publish"),
    ({"NetworkMode": "bridge"}, "HostConfig.NetworkMode", "bridge", "networks"),
    ({"NetworkMode": "elsewhere"}, "HostConfig.NetworkMode", "elsewhere", "networks"),
    ({"LogConfig": {"Type": "local"}}, "HostConfig.LogConfig", "local", "log-drivers"),
    ({"Sysctls": {"kernel.msgmax": "1"}}, "HostConfig.Sysctls", "kernel.msgmax", "sysctls"),
]


@pytest.mark.parametrize("host,field,value,rule", CEILINGS, ids=[f"{i}-{row[3]}" for i, row in enumerate(CEILINGS)])
def test_ceilings_and_lists(ruled, host, field, value, rule):
    document, answer = refused(ruled, CAPPED, host, field, value, rule, "of role capped", "allowed:latest")
    done = explain(ruled, CAPPED, document)
    assert done.returncode == 3 and answer.message.split(": ", 1)[1] in done.stdout, (done.stdout, answer.message)


GOOD = {"Memory": 67108864, "NanoCpus": 500000000, "PidsLimit": 100}


def test_within_the_ceilings(ruled):
    document = {"Image": "allowed", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **GOOD}}
    answer = api_as(ruled, CAPPED, "POST", "/containers/create", document)
    assert answer.status == 201, answer
    # An update is held to the same; what it leaves out stays as it is.
    target = f"/containers/{answer.json['Id']}/update"
    assert api_as(ruled, CAPPED, "POST", target, {"Memory": 33554432}).status == 200
    for body, rule in (({"Memory": 1 << 30}, "max-memory"), ({"NanoCpus": 600000000}, "max-nano-cpus"), ({"PidsLimit": -1}, "max-pids"),
                       ({"PidsLimit": 0}, "max-pids"), ({"CpuQuota": -1}, "max-nano-cpus"), ({"MemorySwap": -1}, "max-memory"),
                       ({"OomKillDisable": True}, "oom"), ({"Devices": [DEVICE]}, "devices")):
        denied = api_as(ruled, CAPPED, "POST", target, body)
        assert denied.status == 403 and rule in denied.message, (body, denied)
    assert api_as(ruled, CAPPED, "DELETE", f"/containers/{answer.json['Id']}").status == 204


def test_the_halves_of_a_limit(ruled):
    """A quota is decided on with the period that stands already, and a period with the quota."""
    asked = {**GOOD, "NanoCpus": 0, "CpuQuota": 2000, "CpuPeriod": 4000}
    made = api_as(ruled, CAPPED, "POST", "/containers/create", {"Image": "allowed", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **asked}})
    assert made.status == 201, made
    target = f"/containers/{made.json['Id']}"
    for body in ({"CpuQuota": 50000}, {"CpuPeriod": 3000}, {"CpuQuota": 2000, "CpuPeriod": 3000}):
        denied = api_as(ruled, CAPPED, "POST", f"{target}/update", body)
        assert denied.status == 403 and "max-nano-cpus" in denied.message, (body, denied)
    for body in ({"CpuQuota": 1000}, {"CpuPeriod": 2000}):
        assert api_as(ruled, CAPPED, "POST", f"{target}/update", body).status == 200, body
    host = api_as(ruled, CAPPED, "GET", f"{target}/json").json["HostConfig"]
    assert (host["CpuQuota"], host["CpuPeriod"]) == (1000, 2000)
    assert api_as(ruled, CAPPED, "DELETE", target).status == 204


def test_images(ruled):
    answer = api_as(ruled, CAPPED, "POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": GOOD})
    assert answer.status == 403 and "Image: docker.io/library/busybox:latest" in answer.message and "images" in answer.message
    identity = api_as(ruled, 0, "GET", "/images/busybox/json").json["Id"]
    answer = api_as(ruled, CAPPED, "POST", "/containers/create", {"Image": identity, "Cmd": ["true"], "HostConfig": GOOD})
    assert answer.status == 403 and "images" in answer.message


def test_names_that_a_commit_gives(ruled):
    """A name is the power over whoever uses it: what may not be used is not replaced."""
    made = api_as(ruled, CAPPED, "POST", "/containers/create", {"Image": "allowed", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **GOOD}})
    assert made.status == 201, made
    commit = f"/commit?container={made.json['Id']}"
    before = api_as(ruled, 0, "GET", "/images/busybox/json").json["Id"]
    for name, shown in (("&repo=busybox", "docker.io/library/busybox:latest"), ("&repo=docker.io/library/busybox&tag=1", "docker.io/library/busybox:1"),
                        ("&repo=elsewhere.example/allowed", "elsewhere.example/allowed:latest")):
        denied = api_as(ruled, CAPPED, "POST", commit + name, {})
        assert denied.status == 403 and f"Image: {shown}" in denied.message and "images" in denied.message, denied
    assert api_as(ruled, 0, "GET", "/images/busybox/json").json["Id"] == before
    for name in ("", "&repo=allowed&tag=mine"):
        answer = api_as(ruled, CAPPED, "POST", commit + name, {})
        assert answer.status == 201, answer
        assert api_as(ruled, 0, "DELETE", f"/images/{answer.json['Id']}").status == 200
    denied = api_as(ruled, 0, "POST", commit + "&repo=forbidden.example/x", {})
    assert denied.status == 403 and "images[0]" in denied.message, denied
    assert api_as(ruled, CAPPED, "DELETE", f"/containers/{made.json['Id']}").status == 204


def test_names_of_images(ruled):
    """The rule for images holds for each way to a name."""
    tar = busybox_tar()
    ways = {"tag": ("POST", "/images/busybox/tag?repo=elsewhere", None), "import": ("POST", "/images/create?fromSrc=-&repo=elsewhere", tar),
            "pull": ("POST", "/images/create?fromImage=elsewhere&tag=1", None),
            "load": ("POST", "/images/load", ruled.docker("save", "busybox:latest", text=False).stdout)}
    for way, (method, path, body) in ways.items():
        answer = api_as(ruled, CAPPED, method, path, archive=body)
        assert "permission denied: Image: docker.io/library/" in answer.body and "images of role capped" in answer.body, (way, answer)
    assert {tag for image in api_as(ruled, 0, "GET", "/images/json").json for tag in image["RepoTags"]} == {"busybox:latest", "allowed:latest"}


# What is made of a network is looked at as what is made of a container: by whom the host is reached, and under whose name.
NETWORKS = [
    (PLAIN, {"Name": "n", "Driver": "macvlan"}, "Driver: macvlan", "network-drivers"),
    (PLAIN, {"Name": "n", "Options": {"com.docker.network.bridge.name": "eth0"}}, "Options: com.docker.network.bridge.name", "network-options"),
    (PLAIN, {"Name": "n", "Options": {"com.docker.network.bridge.host_binding_ipv4": "0.0.0.0"}}, "Options", "network-options"),
    (NETTED, {"Name": "others"}, "Name: others", "networks"),
]


@pytest.mark.parametrize("uid,body,field,rule", NETWORKS, ids=[row[3] + str(i) for i, row in enumerate(NETWORKS)])
def test_networks(ruled, uid, body, field, rule):
    answer = api_as(ruled, uid, "POST", "/networks/create", body)
    assert answer.status == 403 and field in answer.message and rule in answer.message, answer


def test_endpoints(ruled):
    """At a create and at a connect alike."""
    assert api_as(ruled, NETTED, "POST", "/networks/create", {"Name": "mine"}).status == 201
    plain = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "mine"}}
    made = api_as(ruled, NETTED, "POST", "/containers/create", {**plain, "NetworkingConfig": {"EndpointsConfig": {}}})
    assert made.status == 201, made
    for network, endpoint, value, rule in (("bridge", {}, "bridge", "networks"), ("mine", {"Links": ["theirs:x"]}, "theirs:x", "join"),
                                           ("mine", {"DriverOpts": {"com.example.other": "1"}}, "com.example.other", "refused"),
                                           ("mine", {"DriverOpts": {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1"}},
                                            "forwarding", "sysctls")):
        for answer in (api_as(ruled, NETTED, "POST", f"/networks/{network}/connect", {"Container": made.json["Id"], "EndpointConfig": endpoint}),
                       api_as(ruled, NETTED, "POST", "/containers/create", {**plain, "NetworkingConfig": {"EndpointsConfig": {network: endpoint}}},
                              version="1.47")):
            assert answer.status == 403 and value in answer.message and rule in answer.message, (network, endpoint, answer)
            assert "NetworkingConfig.EndpointsConfig" in answer.message, answer
    assert api_as(ruled, 0, "DELETE", f"/containers/{made.json['Id']}").status == 204
    assert api_as(ruled, 0, "DELETE", "/networks/mine").status == 204


def test_privileged_exec(ruled):
    made = api_as(ruled, PLAIN, "POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}})
    assert made.status == 201, made
    name = made.json["Id"]
    assert api_as(ruled, PLAIN, "POST", f"/containers/{name}/start").status == 204
    answer = api_as(ruled, PLAIN, "POST", f"/containers/{name}/exec", {"Cmd": ["true"], "Privileged": True})
    assert answer.status == 403 and "Privileged" in answer.message and "privileged" in answer.message
    assert api_as(ruled, PLAIN, "POST", f"/containers/{name}/exec", {"Cmd": ["true"]}).status == 201
    assert api_as(ruled, PLAIN, "DELETE", f"/containers/{name}?force=1").status == 204


def test_a_field_that_is_not_known_is_refused(ruled):
    answer = api_as(ruled, PLAIN, "POST", "/containers/create", {"Image": "busybox", "HostConfig": {"NewField": True}})
    assert answer.status == 400 and "NewField" in answer.message


# covers D-8: what is mounted is what was decided on, whatever the path leads to later.
def test_a_bind_that_is_swapped_after_its_decision(tmp_path):
    allowed = tmp_path / "allowed"
    (allowed / "data").mkdir(parents=True)
    (allowed / "data" / "f").write_text("mine\n")
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    policy = {**POLICY, "roles": {"plain": {**POLICY["roles"]["plain"], "containers": {"binds": [str(allowed)]}},
                                  "capped": POLICY["roles"]["capped"], "netted": POLICY["roles"]["netted"]}}
    with Engine(config={"listeners": [{"mode": "0666"}]}, policy=policy) as engine:
        engine.busybox()
        made = api_as(engine, PLAIN, "POST", "/containers/create", {
            "Image": "busybox", "Cmd": ["cat", "/m/passwd", "/m/f"], "HostConfig": {"NetworkMode": "none", "Binds": [f"{allowed}/data:/m"]}})
        assert made.status == 201, made
        os.rename(allowed / "data", allowed / "before")
        os.symlink("/etc", allowed / "data")
        answer = api_as(engine, PLAIN, "POST", f"/containers/{made.json['Id']}/start")
        assert answer.status == 403 and "/etc" in answer.message, answer
        pathlib.Path(allowed / "data").unlink()
        os.rename(allowed / "before", allowed / "data")
        assert api_as(engine, PLAIN, "POST", f"/containers/{made.json['Id']}/start").status == 204
        # read-only where the rule says so
        for source in (f"{allowed}/../../../../../../etc", f"{allowed}/./data/../../../../../../../etc"):
            answer = api_as(engine, PLAIN, "POST", "/containers/create", {
                "Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Binds": [f"{source}:/m"]}})
            assert answer.status == 403 and "/etc" in answer.message, answer


# covers D-8: what is allowed to be read is not written, neither below nor by being made.
def test_a_bind_that_may_only_be_read(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    below = {"Type": "bind", "Source": str(allowed), "Target": "/m", "ReadOnly": True}
    policy = {**POLICY, "roles": {"plain": {**POLICY["roles"]["plain"], "containers": {"binds": [{"path": str(allowed), "read-only": True}]}},
                                  "capped": POLICY["roles"]["capped"], "netted": POLICY["roles"]["netted"]}}
    with Engine(config={"listeners": [{"mode": "0666"}]}, policy=policy) as engine:
        engine.busybox()

        def ask(**host):
            return api_as(engine, PLAIN, "POST", "/containers/create",
                          {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **host}}, version="1.47")
        denied = [ask(Binds=[f"{allowed}:/m"]), ask(Mounts=[{**below, "ReadOnly": False}]),
                  ask(Mounts=[{**below, "BindOptions": {"ReadOnlyNonRecursive": True}}]), ask(Binds=[f"{allowed}/made/deep:/m:ro"]),
                  ask(Mounts=[{**below, "Source": f"{allowed}/made", "BindOptions": {"CreateMountpoint": True}}])]
        assert [answer.status for answer in denied] == [403] * 5, denied
        assert all("binds (read-only)" in answer.message for answer in denied), denied
        assert list(allowed.iterdir()) == []
        taken = [ask(Binds=[f"{allowed}:/m:ro"]), ask(Mounts=[below]),
                 ask(Mounts=[{**below, "BindOptions": {"ReadOnlyNonRecursive": True, "NonRecursive": True}}])]
        assert [answer.status for answer in taken] == [201] * 3, taken
        again = ask(VolumesFrom=[taken[0].json["Id"]])
        assert again.status == 201, again
        # The mounts of one's own are decided on anew for who takes them.
        engine.policy_path.write_text(json.dumps(POLICY))
        engine.ctl("reload")
        engine.wait_for(lambda: ask(Binds=[f"{allowed}:/m:ro"]).status == 403)
        again = ask(VolumesFrom=[taken[0].json["Id"]])
        assert again.status == 403 and str(allowed) in again.message and "binds" in again.message, again
        # What an administrator has bound to be written cannot be had from there.
        made = api_as(engine, 0, "POST", "/containers/create", {
            "Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Binds": [f"{allowed}:/m"]}})
        again = ask(VolumesFrom=[made.json["Id"] + ":ro"])
        assert again.status == 403 and "join" in again.message, again


def test_the_default_log_driver_has_no_collector_of_ones_own():
    """Who may not choose a driver has the engine's own as the engine has it: lines go nowhere else, no file is read."""
    with Engine(config={"listeners": [{"mode": "0666"}], "log-driver": {"default": "syslog"}}, policy=POLICY) as engine:
        engine.busybox()

        def ask(uid, driver, **options):
            return api_as(engine, uid, "POST", "/containers/create", {
                "Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": driver, "Config": options}}})
        for driver in ("syslog", ""):
            for name, value in (("syslog-address", "tcp://127.0.0.1:22"), ("syslog-tls-ca-cert", "/etc/ssl/certs/x.pem")):
                answer = ask(PLAIN, driver, **{name: value})
                assert answer.status == 403 and value in answer.message, answer
                assert f"HostConfig.LogConfig.Config.{name}" in answer.message and "log-drivers" in answer.message, answer
            assert ask(PLAIN, driver, tag="{{.Name}}", mode="non-blocking").status == 201
        assert ask(0, "syslog", **{"syslog-address": "tcp://127.0.0.1:22"}).status == 201

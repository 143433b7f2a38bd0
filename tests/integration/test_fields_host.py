"""Every field of HostConfig but its mounts: what it does in a container, or why it is refused."""
import os
import pathlib
import re

import pytest

from tests.harness import leaks
from tests.harness.fields import Run

MIB = 1 << 20
V2 = (leaks.CGROUPS / "cgroup.controllers").exists()
STATUS = "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | tr '\\t' ' '"


def cap_mask(*names):
    order = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
        NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
        SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
        MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()
    return f"{sum(1 << order.index(name) for name in names):016x}"


DEFAULT = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
           "SYS_CHROOT")
BND = "grep CapBnd /proc/self/status | cut -f 2"
HARD = "ulimit -H -n; ulimit -S -n"

# field, HostConfig, command, what it says: the whole output, or a pattern
HONOURED = [
    # privilege
    ("capabilities by default", {}, BND, cap_mask(*DEFAULT) + "\n"),
    ("CapAdd", {"CapAdd": ["NET_ADMIN", "cap_sys_time"]}, BND, cap_mask(*DEFAULT, "NET_ADMIN", "SYS_TIME") + "\n"),
    ("CapDrop", {"CapDrop": ["CAP_CHOWN", "kill"]}, BND, cap_mask(*(c for c in DEFAULT if c not in ("CHOWN", "KILL"))) + "\n"),
    ("CapDrop ALL", {"CapDrop": ["ALL"]}, BND, cap_mask() + "\n"),
    ("CapDrop ALL CapAdd", {"CapDrop": ["all"], "CapAdd": ["CHOWN"]}, BND, cap_mask("CHOWN") + "\n"),
    ("CapAdd ALL", {"CapAdd": ["ALL"]}, BND, "000001ffffffffff\n"),
    ("CapAdd ALL CapDrop", {"CapAdd": ["ALL"], "CapDrop": ["MKNOD"]}, BND, f"{(1 << 41) - 1 - (1 << 27):016x}\n"),
    ("SecurityOpt default", {}, STATUS + " | tail -2", "NoNewPrivs: 1\nSeccomp: 2\n"),
    ("SecurityOpt nnp false", {"SecurityOpt": ["no-new-privileges=false"]}, STATUS + "| tail -2", "NoNewPrivs: 0\nSeccomp: 2\n"),
    ("SecurityOpt nnp :", {"SecurityOpt": ["no-new-privileges:true"]}, STATUS + "| tail -2", "NoNewPrivs: 1\nSeccomp: 2\n"),
    ("SecurityOpt nnp", {"SecurityOpt": ["no-new-privileges"]}, STATUS + "| tail -2", "NoNewPrivs: 1\nSeccomp: 2\n"),
    ("SecurityOpt seccomp", {"SecurityOpt": ["seccomp=unconfined"]}, STATUS + "| tail -1", "Seccomp: 0\n"),
    ("SecurityOpt seccomp builtin", {"SecurityOpt": ["seccomp=builtin"]}, STATUS + "| tail -1", "Seccomp: 2\n"),
    ("SecurityOpt seccomp profile",
     {"SecurityOpt": ['seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],'
                      '"action":"SCMP_ACT_ERRNO","errnoRet":95}]}']}, "mkdir /x 2>&1; echo $?",
     "mkdir: can't create directory '/x': Operation not supported\n1\n"),
    ("SecurityOpt label", {"SecurityOpt": ["label=disable"]}, "echo ok", "ok\n"),
    ("SecurityOpt apparmor", {"SecurityOpt": ["apparmor=unconfined"]}, "echo ok", "ok\n"),
    ("SecurityOpt systempaths", {"SecurityOpt": ["systempaths=unconfined"]},
     "grep -c -E ' /proc/(kcore|keys|sys) ' /proc/self/mountinfo", "0\n"),
    ("MaskedPaths", {"MaskedPaths": ["/etc/passwd", "/home"]}, "wc -c < /etc/passwd; ls /home; cat /proc/timer_list | head -c 1",
     re.compile("^0\n")),
    ("ReadonlyPaths", {"ReadonlyPaths": ["/home"]}, "touch /home/x 2>&1; touch /tmp/x && echo ok",
     "touch: /home/x: Read-only file system\nok\n"),
    ("GroupAdd", {"GroupAdd": ["2000", "daemon", "3000"]}, "id -G", "0 1 2000 3000\n"),
    ("ReadonlyRootfs", {"ReadonlyRootfs": True}, "touch /x 2>&1; touch /dev/shm/x && echo ok", "touch: /x: Read-only file system\nok\n"),
    ("Privileged", {"Privileged": True}, "grep -E 'NoNew|Seccomp:' /proc/self/status; mkdir /mnt && mount -t tmpfs x /mnt && echo mounted",
     "NoNewPrivs:\t0\nSeccomp:\t0\nmounted\n"),
    ("Privileged devices", {"Privileged": True}, "ls /dev/loop-control && (: < /dev/loop-control) && echo open", "/dev/loop-control\nopen\n"),
    # namespaces
    ("UsernsMode default", {}, "awk '{print $1, $3}' /proc/self/uid_map", "0 65536\n"),
    ("UsernsMode host", {"UsernsMode": "host"}, "awk '{print $1, $2, $3}' /proc/self/uid_map", "0 0 4294967295\n"),
    ("PidMode default", {}, "echo $$", "1\n"),
    ("PidMode host", {"PidMode": "host"}, "test $$ -gt 1 && tr '\\0' '\\n' < /proc/1/cmdline | head -1 | wc -l", "1\n"),
    ("UTSMode host", {"UTSMode": "host"}, "hostname", os.uname().nodename + "\n"),
    ("IpcMode none", {"IpcMode": "none"}, "grep -c /dev/shm /proc/self/mountinfo", "0\n"),
    ("IpcMode private", {"IpcMode": "private"}, "grep -c /dev/shm /proc/self/mountinfo", "1\n"),
    ("IpcMode shareable", {"IpcMode": "shareable"}, "grep -c /dev/shm /proc/self/mountinfo", "1\n"),
    ("CgroupnsMode private", {"CgroupnsMode": "private"}, "grep -v -c ':/$' /proc/self/cgroup", "0\n"),
    ("CgroupnsMode host", {"CgroupnsMode": "host"},
     "grep -q -E '/[0-9a-f]{64}$' /proc/self/cgroup && echo host; find /sys/fs/cgroup -name cgroup.procs | wc -l | grep -v '^0$' >&2; "
     "for file in $(find /sys/fs/cgroup -name cgroup.procs); do (echo 1 > $file) 2>/dev/null && echo $file; done", re.compile(r"^host\n\d+\n$|^\d+\nhost\n$")),
    ("NetworkMode none", {"NetworkMode": "none"}, "ls /sys/class/net", "lo\n"),
    ("NetworkMode host", {"NetworkMode": "host"}, "readlink /proc/self/ns/net", os.readlink("/proc/self/ns/net") + "\n"),
    # limits of the process
    ("Ulimits", {"Ulimits": [{"Name": "nofile", "Soft": 123, "Hard": 456}]}, HARD, "456\n123\n"),
    ("Ulimits core", {"Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}]}, "ulimit -c", "0\n"),
    ("OomScoreAdj", {"OomScoreAdj": 321}, "cat /proc/self/oom_score_adj", "321\n"),
    ("ShmSize", {"ShmSize": 4 * MIB}, "df -k /dev/shm | tail -1 | awk '{print $2}'", "4096\n"),
    ("ShmSize default", {}, "df -k /dev/shm | tail -1 | awk '{print $2}'", "65536\n"),
    ("Sysctls", {"Sysctls": {"kernel.msgmax": "1234", "net.ipv4.ip_forward": "1", "fs.mqueue.msg_max": "17"}},
     "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/fs/mqueue/msg_max", "1234\n1\n17\n"),
    ("Init", {"Init": True}, "cat /proc/1/comm", "docker-init\n"),
    ("Init false", {"Init": False}, "cat /proc/1/comm; :", "sh\n"),
    # devices
    ("Devices", {"Devices": [{"PathOnHost": "/dev/full", "PathInContainer": "/dev/mine", "CgroupPermissions": "rwm"}]},
     "echo x 2>&1 > /dev/mine; stat -c %t:%T /dev/mine", re.compile("No space left.*\n1:7\n")),
    ("Devices owner", {"Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/f", "CgroupPermissions": "r"}]},
     "stat -c %u:%g:%t:%T /dev/f; (: < /dev/f) && echo r; (: > /dev/f) 2>/dev/null || echo no; ls -d /mnt/m* 2>/dev/null", "0:0:a:e5\nr\nno\n"),
    ("Devices below", {"Devices": [{"PathOnHost": "/dev/net", "PathInContainer": "/dev/n", "CgroupPermissions": "rwm"}]},
     "stat -c %u:%a:%t:%T /dev/n/tun; (: <> /dev/n/tun) && echo rw", "0:600:a:c8\nrw\n"),
    ("Devices read", {"Devices": [{"PathOnHost": "/dev/loop-control", "PathInContainer": "/dev/lc", "CgroupPermissions": "r"}],
                      "UsernsMode": "host"}, "(: < /dev/lc) && echo r; (: > /dev/lc) 2>/dev/null || echo no", "r\nno\n"),
    ("DeviceCgroupRules", {"DeviceCgroupRules": ["c 10:* rwm"], "UsernsMode": "host", "CapAdd": ["MKNOD"]},
     "mknod /dev/x c 10 237 && (: < /dev/x) && echo open", "open\n"),
    ("DeviceCgroupRules none", {"UsernsMode": "host", "CapAdd": ["MKNOD"]}, "mknod /dev/x c 10 237; (: < /dev/x) 2>/dev/null || echo no", "no\n"),
    ("Tmpfs", {"Tmpfs": {"/scratch": "size=1m,mode=700,uid=1000"}},
     "stat -c %u:%a /scratch; df -k /scratch | tail -1 | awk '{print $2}'; grep -c 'scratch.*noexec' /proc/self/mountinfo", "1000:700\n1024\n1\n"),
    ("Tmpfs exec", {"Tmpfs": {"/scratch": "exec"}}, "cp /bin/busybox /scratch/true; /scratch/true && echo ran", "ran\n"),
    ("Tmpfs empty", {"Tmpfs": {"/scratch": ""}}, "stat -c %a /scratch", "1777\n"),
    ("ConsoleSize", {"ConsoleSize": [33, 99]}, "echo ok", "ok\n"),
    ("ContainerIDFile", {"ContainerIDFile": "/tmp/cid"}, "ls /tmp", ""),
    ("ExtraHosts", {"NetworkMode": "bridge", "ExtraHosts": ["db:10.1.2.3"]}, "grep -w db /etc/hosts | tr '\\t' ' '", "10.1.2.3 db\n"),
    ("Dns", {"NetworkMode": "bridge", "Dns": ["10.9.8.7"], "DnsSearch": ["s.example"], "DnsOptions": ["ndots:3"]},
     "grep -v '^#' /etc/resolv.conf | sort", "nameserver 10.9.8.7\noptions ndots:3\nsearch s.example\n"),
    ("LogConfig none", {"LogConfig": {"Type": "none", "Config": {}}}, "echo unseen", ""),
    ("Runtime", {"Runtime": "crun"}, "echo ok", "ok\n"),
    ("Annotations", {"Annotations": {"org.example.note": "x"}}, "echo ok", "ok\n"),
    ("Isolation", {"Isolation": "default"}, "echo ok", "ok\n"),
]


@pytest.mark.parametrize("field,host,command,says", HONOURED, ids=[row[0] for row in HONOURED])
def test_honoured(engine, field, host, command, says):
    run = Run(engine, command, host=host)
    if field == "LogConfig none":
        assert run.started.status == 204
        run.engine.api("POST", f"/containers/{run.id}/wait")
        answer = run.engine.api("GET", f"/containers/{run.id}/logs?stdout=1")
        assert answer.status == 501 and "does not support reading" in answer.message
        run.remove()
        return
    text = run.finish()
    assert says.search(text) if isinstance(says, re.Pattern) else text == says, text
    assert run.warnings == []


# field, HostConfig, cgroup's controller, v1's file and text, v2's file and text
LIMITS = [
    ("Memory", {"Memory": 64 * MIB}, "memory", "memory.limit_in_bytes", str(64 * MIB), "memory.max", str(64 * MIB)),
    ("MemorySwap default", {"Memory": 64 * MIB}, "memory", "memory.memsw.limit_in_bytes", str(128 * MIB), "memory.swap.max", str(64 * MIB)),
    ("MemorySwap", {"Memory": 64 * MIB, "MemorySwap": 96 * MIB}, "memory", "memory.memsw.limit_in_bytes", str(96 * MIB),
     "memory.swap.max", str(32 * MIB)),
    ("MemorySwap none", {"Memory": 64 * MIB, "MemorySwap": -1}, "memory", "memory.memsw.limit_in_bytes", "9223372036854771712",
     "memory.swap.max", "max"),
    ("MemoryReservation", {"MemoryReservation": 32 * MIB}, "memory", "memory.soft_limit_in_bytes", str(32 * MIB), "memory.low", str(32 * MIB)),
    ("MemorySwappiness", {"MemorySwappiness": 7}, "memory", "memory.swappiness", "7", None, None),
    ("MemorySwappiness 0", {"MemorySwappiness": 0}, "memory", "memory.swappiness", "0", None, None),
    ("OomKillDisable", {"OomKillDisable": True, "Memory": 64 * MIB}, "memory", "memory.oom_control", "oom_kill_disable 1", None, None),
    ("NanoCpus", {"NanoCpus": 250000000}, "cpu", "cpu.cfs_quota_us", "25000", "cpu.max", "25000 100000"),
    ("CpuQuota", {"CpuQuota": 20000, "CpuPeriod": 40000}, "cpu", "cpu.cfs_period_us", "40000", "cpu.max", "20000 40000"),
    ("CpuShares", {"CpuShares": 256}, "cpu", "cpu.shares", "256", "cpu.weight", "10"),
    ("CpusetCpus", {"CpusetCpus": "0"}, "cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0"),
    ("CpusetMems", {"CpusetMems": "0"}, "cpuset", "cpuset.mems", "0", "cpuset.mems", "0"),
    ("PidsLimit", {"PidsLimit": 33}, "pids", "pids.max", "33", "pids.max", "33"),
    ("PidsLimit default", {}, "pids", "pids.max", "4096", "pids.max", "4096"),
    ("PidsLimit none", {"PidsLimit": -1}, "pids", "pids.max", "max", "pids.max", "max"),
]


def cgroup(parent, container, controller, name):
    v1 = leaks.CGROUPS / controller
    return ((v1 if v1.is_dir() else leaks.CGROUPS) / parent.strip("/") / container / name).read_text().strip()


@pytest.mark.parametrize("field,host,controller,v1,v1_text,v2,v2_text", LIMITS, ids=[row[0] for row in LIMITS])
def test_limit(engine, field, host, controller, v1, v1_text, v2, v2_text):
    run = Run(engine, "sleep 1000", host=host)
    assert run.error is None, run.error
    if V2 and v2 is None:
        assert any(field.split()[0] in warning for warning in run.warnings)
    else:
        text = cgroup(engine.cgroup, run.id, controller, v2 if V2 else v1)
        assert text.splitlines()[0] == (v2_text if V2 else v1_text), text
    run.remove()


def block_device():
    return next((f"/dev/{d.name}" for d in pathlib.Path("/sys/block").iterdir() if os.path.exists(f"/dev/{d.name}")), None)


# field, v1's file, v2's word in io.max
THROTTLES = [("BlkioDeviceReadBps", "read_bps", "rbps"), ("BlkioDeviceWriteBps", "write_bps", "wbps"),
             ("BlkioDeviceReadIOps", "read_iops", "riops"), ("BlkioDeviceWriteIOps", "write_iops", "wiops")]


@pytest.mark.skipif(not block_device(), reason="there is no block device")
@pytest.mark.parametrize("field,name,word", THROTTLES, ids=[row[0] for row in THROTTLES])
def test_block_io_throttles(engine, field, name, word):
    device = block_device()
    number = os.stat(device).st_rdev
    run = Run(engine, "sleep 1000", host={field: [{"Path": device, "Rate": 2048}]})
    assert run.error is None, run.error
    text = cgroup(engine.cgroup, run.id, "blkio", "io.max" if V2 else f"blkio.throttle.{name}_device")
    run.remove()
    said = " ".join(f"{key}={2048 if key == word else 'max'}" for _, _, key in THROTTLES) if V2 else "2048"
    assert text == f"{os.major(number)}:{os.minor(number)} {said}"


@pytest.mark.skipif(not V2, reason="weights of cgroup v2")
def test_block_io_weights(engine):
    """The kernel has one of two files: BFQ's, with the client's own figures, or one from 1 to 10,000."""
    run = Run(engine, "sleep 1000", host={"BlkioWeight": 100})
    assert run.error is None, run.error
    bfq = (leaks.CGROUPS / engine.cgroup.strip("/") / run.id / "io.bfq.weight").exists()
    file = "io.bfq.weight" if bfq else "io.weight"
    assert cgroup(engine.cgroup, run.id, "io", file).split()[-1] == ("100" if bfq else "910")
    answer = engine.api("POST", f"/containers/{run.id}/update", {"BlkioWeight": 200})
    assert answer.status == 200, answer
    assert cgroup(engine.cgroup, run.id, "io", file).split()[-1] == ("200" if bfq else "1920")
    run.remove()


@pytest.mark.skipif(not V2 or not block_device(), reason="weights of cgroup v2, and a block device")
def test_block_io_weights_by_device(engine):
    """BFQ alone has them: without it they are refused before there is a container."""
    bfq = [x.parents[1].name for x in pathlib.Path("/sys/block").glob("*/queue/scheduler") if "[bfq]" in x.read_text()]
    device = f"/dev/{bfq[0]}" if bfq else block_device()
    run = Run(engine, "sleep 1000", host={"BlkioWeightDevice": [{"Path": device, "Weight": 300}]})
    if not bfq:
        assert run.created.status == 400 and device in run.error and "bfq" in run.error, run.error
        return
    number = os.stat(device).st_rdev
    line = f"{os.major(number)}:{os.minor(number)}"
    assert run.error is None, run.error
    assert f"{line} 300" in cgroup(engine.cgroup, run.id, "io", "io.bfq.weight")
    answer = engine.api("POST", f"/containers/{run.id}/update", {"BlkioWeightDevice": [{"Path": device, "Weight": 400}]})
    assert answer.status == 200, answer
    assert f"{line} 400" in cgroup(engine.cgroup, run.id, "io", "io.bfq.weight")
    run.remove()


def test_cgroup_parent(engine):
    run = Run(engine, "sleep 1000", host={"CgroupParent": engine.cgroup + "/below"})
    assert run.error is None, run.error
    assert cgroup(engine.cgroup + "/below", run.id, "pids", "pids.max") == "4096"
    run.remove()
    for top in (leaks.CGROUPS, *leaks.CGROUPS.iterdir()):
        path = top / engine.cgroup.strip("/") / "below"
        if path.is_dir():
            path.rmdir()


# HostConfig, words of the refusal
REFUSED = [
    ({"Memory": 1 * MIB}, "6MB"),
    ({"MemorySwap": 64 * MIB}, "Memory limit"),
    ({"Memory": 64 * MIB, "MemorySwap": 32 * MIB}, "memoryswap"),
    ({"MemoryReservation": 64 * MIB, "Memory": 32 * MIB}, "reservation"),
    ({"OomKillDisable": True}, "OomKillDisable"),
    ({"NanoCpus": 10**15}, "CPUs"),
    ({"NanoCpus": 10**9, "CpuQuota": 50000}, "CPU Quota"),
    ({"CpuPeriod": 10}, "period"),
    ({"CpuQuota": 10}, "quota"),
    ({"CpusetCpus": "900"}, "900"),
    ({"CpusetCpus": "3-1"}, "CpusetCpus"),
    ({"CpusetMems": "77"}, "77"),
    ({"CpuRealtimeRuntime": 1000, "CpuRealtimePeriod": 10000} if not os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us") else {"CpuPeriod": 1}, ""),
    ({"BlkioWeight": 5}, "weight"),
    ({"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}]}, "BlkioDeviceReadBps"),
    ({"BlkioDeviceWriteIOps": [{"Path": "/dev/nosuch", "Rate": 1}]}, "/dev/nosuch"),
    ({"Ulimits": [{"Name": "nosuch", "Soft": 1, "Hard": 1}]}, "nosuch"),
    ({"Ulimits": [{"Name": "nofile", "Soft": 9, "Hard": 1}]}, "soft limit"),
    ({"OomScoreAdj": 2000}, "OomScoreAdj"),
    ({"CgroupParent": "/../../etc"}, "CgroupParent"),
    ({"CgroupParent": "/a/../b"}, "CgroupParent"),
    ({"Devices": [{"PathOnHost": "/dev/nosuch"}]}, "/dev/nosuch"),
    ({"Devices": [{"PathOnHost": "/etc/passwd"}]}, "/etc/passwd"),
    ({"Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": "rx"}]}, "CgroupPermissions"),
    ({"DeviceCgroupRules": ["c 1:1"]}, "DeviceCgroupRules"),
    ({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}, "DeviceRequests"),
    ({"CapAdd": ["NET_NOTHING"]}, "NET_NOTHING"),
    ({"CapDrop": ["NOTHING"]}, "NOTHING"),
    ({"SecurityOpt": ["nonsense"]}, "nonsense"),
    ({"SecurityOpt": ["no-new-privileges=maybe"]}, "maybe"),
    ({"SecurityOpt": ["seccomp={not json"]}, "seccomp"),
    ({"SecurityOpt": ["seccomp=/etc/profile.json"]}, "seccomp"),
    ({"SecurityOpt": ["label=type:x"]} if not os.path.exists("/sys/fs/selinux/enforce") else {"SecurityOpt": ["x"]}, ""),
    ({"SecurityOpt": ["apparmor=x"]} if not os.path.exists("/sys/kernel/security/apparmor") else {"SecurityOpt": ["x"]}, ""),
    ({"Sysctls": {"kernel.domainname": "x"}}, "kernel.domainname"),
    ({"Sysctls": {"vm.swappiness": "1"}}, "vm.swappiness"),
    ({"Sysctls": {"net/../kernel/core_pattern": "x"}}, "Sysctls"),
    ({"Sysctls": {"net.ipv4.ip_forward": "1"}, "NetworkMode": "host"}, "host network"),  # covers S-53
    ({"Sysctls": {"kernel.msgmax": "1"}, "IpcMode": "host"}, "host ipc"),
    ({"IpcMode": "nonsense"}, "IpcMode"),
    ({"PidMode": "private"}, "PidMode"),
    ({"UTSMode": "x"}, "UTSMode"),
    ({"UsernsMode": "x"}, "UsernsMode"),
    ({"CgroupnsMode": "x"}, "CgroupnsMode"),
    ({"Cgroup": "container:x"}, "Cgroup"),
    ({"Binds": ["b@d:/x"]}, "invalid characters for a local volume name"),
    ({"Mounts": [{"Type": "volume", "Source": "b@d", "Target": "/x"}]}, "invalid characters for a local volume name"),
    ({"IpcMode": "container:nosuch"}, "nosuch"),
    ({"Runtime": "nosuch"}, "nosuch"),
    ({"Annotations": {"run.oci.hooks": "x"}}, "run.oci.hooks"),  # covers S-54
    ({"Annotations": {"org.systemd.property.CPUQuota": "x"}}, "org.systemd.property"),
    ({"StorageOpt": {"colour": "red"}}, "colour"),
    ({"Isolation": "hyperv"}, "Isolation"),
    ({"LogConfig": {"Type": "awslogs"}}, "awslogs"),
    ({"LogConfig": {"Type": "json-file", "Config": {"colour": "red"}}}, "colour"),
    ({"RestartPolicy": {"Name": "sometimes"}}, "RestartPolicy"),
    ({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}}, "retry count"),
    ({"RestartPolicy": {"Name": "always"}, "AutoRemove": True}, "AutoRemove"),
    ({"Tmpfs": {"/t": "size=x"}}, "Tmpfs"),
    ({"Tmpfs": {"/t": "colour=red"}}, "colour"),
    ({"Tmpfs": {"t": ""}}, "Tmpfs"),
    ({"Tmpfs": {"/": ""}}, "'/'"),
    ({"ExtraHosts": ["nonsense"], "NetworkMode": "bridge"}, "nonsense"),
    ({"Dns": ["nonsense"]}, "Dns"),
    ({"KernelMemory": 1}, "KernelMemory"),
    ({"KernelMemoryTCP": 1}, "KernelMemoryTCP"),
    ({"CpuCount": 1}, "CpuCount"),
    ({"CpuPercent": 1}, "CpuPercent"),
    ({"IOMaximumIOps": 1}, "IOMaximumIOps"),
    ({"IOMaximumBandwidth": 1}, "IOMaximumBandwidth"),
    ({"LxcConf": [{"Key": "x", "Value": "y"}]}, "LxcConf"),
    ({"Links": ["nosuch:x"], "NetworkMode": "bridge"}, "nosuch"),
    ({"VolumesFrom": ["nosuch"]}, "nosuch"),
    ({"VolumeDriver": "nosuch", "Binds": ["v:/v"]}, "nosuch"),
    ({"Colour": "red"}, "Colour"),
]


@pytest.mark.parametrize("host,words", REFUSED, ids=[next(iter(row[0])) + str(i) for i, row in enumerate(REFUSED)])
def test_refused_at_create(engine, host, words):
    run = Run(engine, "true", host=host)
    run.remove()
    assert run.created.status in (400, 404) and words in run.created.message, run.created


def test_clamped_with_a_warning(engine):
    """covers what a host without SYS_RESOURCE cannot give: done as far as it goes, and said."""
    if int(re.search(r"CapBnd:\s*(\w+)", pathlib.Path("/proc/self/status").read_text()).group(1), 16) & 1 << 24:
        pytest.skip("this host may raise limits")
    run = Run(engine, "cat /proc/self/oom_score_adj; ulimit -Hn",
              host={"OomScoreAdj": -900, "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2**40}]})
    score, hard = run.finish().split()
    assert int(score) >= int(pathlib.Path("/proc/self/oom_score_adj").read_text())
    assert int(hard) < 2**40
    assert len(run.warnings) == 2 and "OomScoreAdj" in "".join(run.warnings) and "nofile" in "".join(run.warnings)


def test_host_config_is_shown_as_given(engine):
    host = {"CapAdd": ["NET_ADMIN"], "ShmSize": MIB, "Sysctls": {"kernel.msgmax": "1"}, "ReadonlyRootfs": True,
            "Annotations": {"a.b": "c"}, "OomScoreAdj": 5, "GroupAdd": ["2000"], "ContainerIDFile": "/tmp/x"}
    run = Run(engine, "true", host=host)
    shown = run.inspect()["HostConfig"]
    run.remove()
    assert {key: shown[key] for key in host} == host

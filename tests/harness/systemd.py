"""A machine whose process 1 is systemd, on a copy of this machine's files that is thrown away.

    with Systemd(install="dpkg -i /given/pouch.deb", files={"given/pouch.deb": data}) as machine:
        machine.run("systemctl", "start", "pouch.service")

Namespaces of its own for mounts, pids, cgroups, network, IPC and names; the files are an overlay over /, in memory. Of all units
only those that a test starts run, and what they need. systemd reports here when it is up (NOTIFY_SOCKET, as to a container manager).
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BOOT_TIMEOUT = 60
CGROUPS = pathlib.Path("/sys/fs/cgroup")

# What a container manager prepares for systemd. /proc/sys is the host's but for its network: read-only.
BOOT = r"""
set -eu
dir=$1 install=$2
mount -t tmpfs -o mode=755 tmpfs "$dir/memory"
mkdir "$dir/memory/upper" "$dir/memory/work" "$dir/memory/root"
cp -a "$dir/files/." "$dir/memory/upper"
mount -t overlay -o "lowerdir=/,upperdir=$dir/memory/upper,workdir=$dir/memory/work" overlay "$dir/memory/root"
cd "$dir/memory/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
grep '^cgroup2\? ' /proc/mounts | while read -r _ point kind options _; do
	mkdir -p ".$point"
	case $kind in
	cgroup) mount -t cgroup -o "$(echo "$options" | sed 's/rw,\|relatime,//g; s/^name=/none,&/')" cgroup ".$point" ;;
	*) mount -t cgroup2 cgroup2 ".$point" ;;
	esac
done
for point in run tmp dev var/log; do mount -t tmpfs -o mode=755 tmpfs "$point"; done
chmod 1777 tmp
# An overlay's upper directory cannot lie on an overlay.
mkdir -p var/lib/pouch
mount --bind "$dir/state" var/lib/pouch
for node in null zero full random urandom tty fuse; do cp -a "/dev/$node" dev; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir -p run/host/proc
touch run/host/notify
# A user namespace may mount proc where one is seen whole.
mount -t proc proc run/host/proc
mount --bind "$dir/notify" run/host/notify
ip link set lo up
chroot . sh -ec "$install"
mkdir -p tmp/old
pivot_root . tmp/old
umount -l /tmp/old
exec env -i container=pouch-test NOTIFY_SOCKET=/run/host/notify PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --log-target=console --show-status=yes --unit=basic.target
"""


class Systemd:
    def __init__(self, install="true", files=None):
        """install: a command of the shell, run there before systemd starts. files: {path: bytes} that are there by then."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="pouch-systemd-"))
        self.cgroup = self.dir.name
        self.install = install
        for name in ("memory", "files", "state"):
            (self.dir / name).mkdir()
        for name, data in {"etc/machine-id": b"", **(files or {})}.items():
            path = self.dir / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.log_path = self.dir / "log"
        self.process = self.pid = None

    def log(self):
        return self.log_path.read_text(errors="replace")[-6000:]

    # ---- life ----

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _enter_cgroup(self):
        for top in CGROUPS.iterdir():
            here = top / self.cgroup
            here.mkdir()
            if top.name == "cpuset":
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (here / name).write_text((top / name).read_text())
            (here / "cgroup.procs").write_text(str(os.getpid()))

    def _start(self):
        # Process 1 of the machine: by its own pid, whatever becomes of those who started it.
        words = ["unshare", "--mount", "--pid", "--cgroup", "--net", "--uts", "--ipc", "--fork", "--kill-child", "bash", "-c",
                 BOOT, "boot", str(self.dir), self.install]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(self.log_path, "wb") as log:
            notify.bind(str(self.dir / "notify"))
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=self._enter_cgroup, start_new_session=True)
            deadline = time.monotonic() + BOOT_TIMEOUT
            notify.settimeout(0.2)
            while True:
                assert self.process.poll() is None and time.monotonic() < deadline, f"systemd is not up\n{self.log()}"
                try:
                    if b"READY=1" in notify.recv(4096).split(b"\n"):
                        break
                except TimeoutError:
                    pass
        self.pid = int(self._children(self.process.pid)[0])

    @staticmethod
    def _children(pid):
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def close(self):
        if self.process:
            for pid in self._children(self.process.pid) if self.process.poll() is None else []:
                os.kill(int(pid), signal.SIGKILL)  # and all that is in its namespace goes with it
            self.process.wait()
        for top in CGROUPS.iterdir():
            for directory, _, _ in os.walk(top / self.cgroup, topdown=False):
                os.rmdir(directory)
        shutil.rmtree(self.dir)

    # ---- in it ----

    def run(self, *command, check=True, input=None, timeout=60):
        done = subprocess.run(["nsenter", "-t", str(self.pid), "--all", *map(str, command)], input=input, timeout=timeout,
                              stdin=subprocess.DEVNULL if input is None else None, capture_output=True, check=False)
        text = subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(errors="replace"),
                                           done.stderr.decode(errors="replace"))
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{text.stdout}{text.stderr}\n{self.log()}"
        return text

    def docker(self, *arguments, check=True, input=None):
        return self.run("docker", "-H", "unix:///run/pouch/pouchd.sock", *arguments, check=check, input=input)

    def property(self, unit, name):
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

"""The engine as systemd would run it process by process: this reads the units that dist/systemd/split/generate writes and does
what systemd does with them: sockets that outlive their services, LISTEN_FDS, NOTIFY_SOCKET, Accept=yes, Restart=always.

What a unit says is taken from the unit; only the paths of the machine's own engine are exchanged for the test's.
"""
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import threading

from .engine import READY_TIMEOUT, REPOSITORY, STOP_TIMEOUT, Engine

KNOWN = {"Unit": {"Description", "Documentation", "PartOf", "Conflicts", "Wants", "After", "Requires",
                  "StartLimitIntervalSec"},
         "Install": {"WantedBy"},
         "Socket": {"ListenSequentialPacket", "ListenStream", "FileDescriptorName", "SocketMode", "SocketGroup", "DirectoryMode",
                    "Backlog", "RemoveOnStop", "TriggerLimitIntervalSec", "Accept", "MaxConnections"},
         "Service": {"Type", "NotifyAccess", "ExecStart", "LimitNOFILE", "TasksMax", "Restart", "RestartSec", "KillMode",
                     "Delegate", "Sockets", "StateDirectory", "StateDirectoryMode"}}


def read_unit(path):
    """{key: value}; a key that this reader does not honour is an error."""
    section, found = None, {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            assert key in KNOWN[section], f"{path.name}: {key} is not known here"
            found[key] = value
    return found


class SplitEngine(Engine):
    """Engine's clients and clean-up, without pouchd."""

    def start(self):
        self.units_dir = self.dir / "units"
        subprocess.run([REPOSITORY / "dist/systemd/split/generate", self.build, self.units_dir], check=True)
        self.units = {p.name: read_unit(p) for p in self.units_dir.iterdir()}
        self.sockets, self.services, self.threads = {}, {}, []
        self.stopping = False
        self.log_file = open(self.log_path, "ab")
        for name in [n for n in self.units if n.endswith(".socket")]:
            self._listen(name)
        for name in [n for n in self.units if n.endswith(".service") and "@" not in n]:
            self._thread(self._keep_running, name, threading.Event())
        for name, (_, ready) in list(self.services.items()):
            assert ready.wait(READY_TIMEOUT), f"{name} is not ready\n{self.log()}"

    def _thread(self, what, name, ready):
        if ready:
            self.services[name] = [None, ready]
        self.threads.append(threading.Thread(target=what, args=(name,)))
        self.threads[-1].start()

    def _listen(self, name):
        unit = self.units[name]
        kind, path = ((socket.SOCK_SEQPACKET, unit["ListenSequentialPacket"]) if "ListenSequentialPacket" in unit
                      else (socket.SOCK_STREAM, unit["ListenStream"]))
        path = pathlib.Path(path.replace("/run/pouch", str(self.run), 1))
        path.parent.mkdir(parents=True, exist_ok=True, mode=int(unit["DirectoryMode"], 8))
        listening = socket.socket(socket.AF_UNIX, kind)
        listening.bind(str(path))
        path.chmod(int(unit["SocketMode"], 8))
        listening.listen(int(unit["Backlog"]))
        self.sockets[name] = listening
        if unit.get("Accept") == "yes":
            self._thread(self._accept, name, None)

    def _spawn(self, unit, fds, names, notify):
        """As service_spawn() of systemd: the descriptors from 3 on, their names, and whose they are."""
        words = shlex.split(unit["ExecStart"]) + ["--root", str(self.root), "--run", str(self.run)]
        for setting in [f"cgroup.parent={self.cgroup}", f"network.bridge.name={self.bridge}",
                        f"network.nft-table={self.nft_table}", *self.sets]:
            words += ["--set", setting]
        moves = "".join(f" {3 + i}<&{fd}" for i, fd in enumerate(fds))
        script = f'export LISTEN_PID=$$; exec "$@"{moves}' + "".join(f" {fd}<&-" for fd in fds if fd >= 3 + len(fds))
        if unit.get("StateDirectory"):
            self.root.mkdir(mode=int(unit["StateDirectoryMode"], 8), exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(names),
                       "NOTIFY_SOCKET": str(notify)}
        return subprocess.Popen(["bash", "-c", script, "service", *words], pass_fds=fds, env=environment, cwd="/",
                                stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file, start_new_session=True)

    def _notify(self, name):
        path = self.dir / f"notify-{name}"
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(path))
        path.chmod(0o666)
        notify.settimeout(0.2)
        return notify, path

    def _keep_running(self, name):
        unit = self.units[name]
        sockets = unit.get("Sockets", name.replace(".service", ".socket")).split()
        notify, notify_path = self._notify(name)
        while not self.stopping:
            process = self._spawn(unit, [self.sockets[s].fileno() for s in sockets],
                                  [self.units[s]["FileDescriptorName"] for s in sockets], notify_path)
            self.services[name][0] = process
            while process.poll() is None:
                try:
                    if b"READY=1" in notify.recv(4096).split(b"\n"):
                        self.services[name][1].set()
                except TimeoutError:
                    pass
            assert unit["Restart"] == "always"
        notify.close()

    def _accept(self, name):
        unit = self.units[name.replace(".socket", "@.service")]
        self.sockets[name].settimeout(0.2)
        notify, notify_path = self._notify(name)
        workers = []
        while not self.stopping:
            try:
                connection, _ = self.sockets[name].accept()
            except TimeoutError:
                continue
            workers.append(self._spawn(unit, [connection.fileno()], ["connection"], notify_path))
            connection.close()
        for worker in workers:
            worker.wait(STOP_TIMEOUT)
        notify.close()

    def pid(self, program):
        return self.services[f"pouch-{program}.service"][0].pid

    def kill(self, program):
        """SIGKILL; returns when the next process of the service is ready."""
        ready = self.services[f"pouch-{program}.service"][1]
        ready.clear()
        os.kill(self.pid(program), signal.SIGKILL)
        assert ready.wait(READY_TIMEOUT), f"{program} has not come back\n{self.log()}"

    def stop(self, sig=signal.SIGTERM):
        self.stopping = True
        for process, _ in self.services.values():
            if process and process.poll() is None:
                process.send_signal(sig)
        for thread in self.threads:
            thread.join(STOP_TIMEOUT)
        for listening in self.sockets.values():
            listening.close()

    def close(self, check=True):
        if not self.stopping:
            self.remove_containers()
        super().close(check)

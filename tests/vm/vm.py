"""A virtual machine with Debian's kernel and cgroup v2, without hardware support: slow, but a real kernel of another kind.

    vm.run("cd /somewhere && make check", timeout=600)  ->  (exit status, what it wrote)

The machine sees the host's files read-only, with a disk of its own above them: what it writes is gone with it. It has no
network but its loopback, and no systemd. The kernel comes from Debian's package and stays in the build directory.
"""
import fcntl
import os
import pathlib
import re
import shlex
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CACHE = pathlib.Path(os.environ.get("POUCH_BUILD", REPOSITORY / "build"), "vm").resolve()
# What is needed before the host's files can be seen; the rest is loaded from there.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "virtio_blk", "crc32c_generic", "quota_v2", "ext4", "overlay")
ENVIRONMENT = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def command(*words, **more):
    return subprocess.run(words, check=True, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, **more).stdout


def kernel():
    """The directory of an unpacked kernel package, and its version. Several tests may want it at the same time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "kernel").exists():
            package = re.search(r"Depends: (linux-image-\S+)", command("apt-cache", "depends", "linux-image-amd64")).group(1)
            command("apt-get", "-q", "download", package, cwd=CACHE, stderr=subprocess.DEVNULL)
            unpacked = pathlib.Path(tempfile.mkdtemp(prefix="new-", dir=CACHE))
            command("dpkg-deb", "-x", str(next(CACHE.glob(package + "_*.deb"))), str(unpacked))
            command("depmod", "-b", str(unpacked), next(unpacked.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-"))
            unpacked.rename(CACHE / "kernel")  # whole, or not there
    return CACHE / "kernel", next(CACHE.glob("kernel/boot/vmlinuz-*")).name.removeprefix("vmlinuz-")


def modules(root, version):
    """Paths of the first modules, each behind what it needs."""
    order = []
    for name in MODULES:
        for line in command("modprobe", "-S", version, "-d", str(root), "--show-depends", name).splitlines():
            if line.startswith("insmod ") and (path := line.split()[1]) not in order:
                order.append(path)
    return order


def initramfs(directory, root, version, shell):
    """The archive that the kernel unpacks as its first root file system."""
    tree = directory / "initramfs"
    for name in ("bin", "dev", "proc", "sys", "modules"):
        (tree / name).mkdir(parents=True)
    paths = modules(root, version)
    for path in paths:
        (tree / "modules" / pathlib.Path(path).name).write_bytes(pathlib.Path(path).read_bytes())
    (tree / "modules/order").write_text("".join(pathlib.Path(path).name + "\n" for path in paths))
    (tree / "bin/busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (tree / "bin/busybox").chmod(0o755)
    (tree / "init").write_bytes((HERE / "init").read_bytes())
    (tree / "init").chmod(0o755)
    (tree / "command").write_text(f"KERNEL={shlex.quote(str(root))}\nCOMMAND={shlex.quote(shell)}\n")
    archive = directory / "initramfs.cpio"
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))) + "\n"
    with open(archive, "wb") as out:
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=tree, input=names.encode(), stdout=out, check=True,
                       stderr=subprocess.DEVNULL)
    return archive


def run(shell, timeout=600, memory=2048, disk="4G"):
    """Boots, runs a shell command, switches off. Returns its exit status (None: there was none) and the console's text."""
    root, version = kernel()
    with tempfile.TemporaryDirectory(prefix="pouch-vm-") as name:
        directory = pathlib.Path(name)
        archive = initramfs(directory, root, version, shell)
        command("truncate", "-s", disk, str(directory / "disk"))
        command("mkfs.ext4", "-q", "-O", "quota,project", str(directory / "disk"))
        console = subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(memory),
             "-M", "q35", "-display", "none", "-no-reboot", "-nic", "none", "-monitor", "none", "-serial", "stdio",
             "-kernel", str(root / "boot" / f"vmlinuz-{version}"), "-initrd", str(archive),
             "-append", "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off tsc=reliable",
             "-drive", f"file={directory / 'disk'},format=raw,if=virtio,cache=unsafe",
             "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
        text = console.stdout.decode(errors="replace").replace("\r\n", "\n")
    ended = re.search(r"^vm: ended with (\d+)$", text, re.M)
    return (int(ended.group(1)) if ended else None), text

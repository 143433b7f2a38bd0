"""Root file systems for tests, as tar archives made from Debian's busybox-static."""
import functools
import io
import pathlib
import subprocess
import tarfile

BUSYBOX = pathlib.Path("/bin/busybox")

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
"""
GROUP = """root:x:0:
daemon:x:1:
app:x:1000:
extra:x:2000:app
nogroup:x:65534:
"""


class Tar:
    """Builds a tar in memory: Tar().directory("a").file("a/b", b"x").bytes()"""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind, mode, data=b"", link="", uid=0, gid=0, pax=None, device=(0, 0), mtime=1700000000):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
        info.uid, info.gid, info.mtime = uid, gid, mtime
        info.devmajor, info.devminor = device
        info.pax_headers = pax or {}
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def directory(self, name, mode=0o755, **more):
        return self.add(name, tarfile.DIRTYPE, mode, **more)

    def file(self, name, data=b"", mode=0o644, **more):
        return self.add(name, tarfile.REGTYPE, mode, data.encode() if isinstance(data, str) else data, **more)

    def symlink(self, name, target, **more):
        return self.add(name, tarfile.SYMTYPE, 0o777, link=target, **more)

    def hardlink(self, name, target, **more):
        return self.add(name, tarfile.LNKTYPE, 0o644, link=target, **more)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


@functools.lru_cache(maxsize=None)
def busybox_tar():
    """A whole little system: busybox with all applets, users, /tmp."""
    tar = Tar()
    for name, mode in (("bin", 0o755), ("etc", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755),
                       ("tmp", 0o1777), ("root", 0o700), ("usr", 0o755), ("var", 0o755), ("home", 0o755)):
        tar.directory(name, mode)
    tar.directory("home/app", uid=1000, gid=1000)
    tar.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    applets = subprocess.run([str(BUSYBOX), "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            tar.symlink(f"bin/{applet}", "busybox")
    tar.file("etc/passwd", PASSWD)
    tar.file("etc/group", GROUP)
    tar.file("home/app/owned", "app's\n", uid=1000, gid=1000)
    return tar.bytes()

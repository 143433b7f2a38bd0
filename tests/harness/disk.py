"""A small file system of its own for one owner's store: to fill it, or to use up what it may take there."""
import contextlib
import os
import subprocess


@contextlib.contextmanager
def mounted(image, place, options="loop"):
    subprocess.run(["mount", "-o", options, image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@contextlib.contextmanager
def kept(place):
    """What is mounted there meanwhile belongs to whom the directory does."""
    before = place.stat()
    yield lambda: (os.chown(place, before.st_uid, before.st_gid), place.chmod(before.st_mode & 0o7777))


@contextlib.contextmanager
def small_disk(engine, owner, size):
    """The directory of `owner` (imaged, volumed…) of a stopped engine on a file system of `size` bytes."""
    image, place = engine.dir / "disk", engine.root / owner
    with open(image, "wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    with kept(place) as give, mounted(image, place):
        give()
        yield place


def btrfs(*words):
    subprocess.run(["btrfs", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


class Quota:
    """What the first subvolume may take; changed from outside of it, where there is room to write that down."""

    def __init__(self, top):
        self.top = top

    @contextlib.contextmanager
    def used_up(self):
        """Whoever writes gets EDQUOT: there is more already than there may be."""
        btrfs("filesystem", "sync", self.top)
        btrfs("qgroup", "limit", "1M", "0/256", self.top)
        yield
        btrfs("qgroup", "limit", "none", "0/256", self.top)


@contextlib.contextmanager
def quota_disk(engine, owner):
    """The same with room enough, and a Quota, of btrfs: its quotas hold for root, too."""
    image, top, place = engine.dir / "disk", engine.dir / "top", engine.root / owner
    top.mkdir()
    with open(image, "wb") as file:
        file.truncate(160 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, stdout=subprocess.DEVNULL)
    with kept(place) as give, mounted(image, top):
        btrfs("quota", "enable", top)
        btrfs("subvolume", "create", top / "store")
        (top / "store/ballast").write_bytes(b"x" * (2 << 20))
        device = subprocess.run(["findmnt", "-no", "SOURCE", top], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        with mounted(device, place, "subvol=store"):
            give()
            yield Quota(top)

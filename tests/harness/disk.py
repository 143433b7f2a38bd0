"""A small file system of its own for one owner's store: to fill it."""
import contextlib
import os
import subprocess


@contextlib.contextmanager
def small_disk(engine, owner, size):
    """The directory of `owner` (imaged, volumed…) of a stopped engine on a file system of `size` bytes."""
    image, place = engine.dir / "disk", engine.root / owner
    before = place.stat()
    with open(image, "wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        os.chown(place, before.st_uid, before.st_gid)
        place.chmod(before.st_mode & 0o7777)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)

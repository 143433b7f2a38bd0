"""The names of one engine of the tests. They are nobody else's, so that tests run side by side and clean up their own."""
import pathlib

PREFIX = "pouch-test-"


class Names:
    def __init__(self, directory, build, machine=None):
        """directory: PREFIX and a word. build: where the engine's programs are. machine: as Engine's."""
        self.dir = pathlib.Path(directory)
        self.build = pathlib.Path(build)
        self.machine = machine
        self.name = self.dir.name.removeprefix(PREFIX)
        self.cgroup = f"/{PREFIX}{self.name}"
        self.bridge = "pt" + self.name
        self.nft_table = "pouch_test_" + self.name

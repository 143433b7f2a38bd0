"""`docker volume …` and volumes of `docker run`, with every docker CLI that is installed."""
import json

from tests.clients.conftest import Cli
from tests.clients.test_docker_cli import RUN


def test_life(cli: Cli):
    assert cli.out("volume", "create", "--label", "tier=data", "--label", "plain", "first") == "first"
    assert cli.out("volume", "create", "first") == "first"
    anonymous = cli.out("volume", "create")
    assert len(anonymous) == 64
    assert set(cli.out("volume", "ls", "-q").split()) == {"first", anonymous}
    shown = json.loads(cli.out("volume", "inspect", "first"))[0]
    assert shown["Labels"] == {"tier": "data", "plain": ""} and shown["Scope"] == "local" and shown["Options"] in (None, {})
    assert shown["Mountpoint"].endswith("/first/_data") and shown["CreatedAt"].endswith("Z")
    assert "no such volume" in cli("volume", "inspect", "nothere", code=1).stderr.lower()
    assert cli.out("volume", "rm", "first", anonymous).split() == ["first", anonymous]
    assert "no such volume" in cli("volume", "rm", "first", code=1).stderr.lower()
    cli("volume", "rm", "-f", "first")


def test_filters(cli):
    cli("volume", "create", "--label", "tier=data", "one")
    cli("volume", "create", "--label", "tier=cache", "two")
    cli("create", "--name", "holds", "--network", "none", "-v", "two:/d", "busybox", "true")
    for filters, names in ((["label=tier"], ["one", "two"]), (["label=tier=data"], ["one"]), (["name=tw"], ["two"]),
                           (["driver=local"], ["one", "two"]), (["driver=x"], []), (["dangling=true"], ["one"]),
                           (["dangling=false"], ["two"]), (["label=tier", "name=on"], ["one"])):
        words = [word for text in filters for word in ("-f", text)]
        assert cli.out("volume", "ls", "-q", *words).split() == names, filters
    assert "dangling" in cli("volume", "ls", "-f", "dangling=perhaps", code=1).stderr
    columns = "{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}}"
    assert cli.out("volume", "ls", "--format", columns, "-f", "name=one") == "one local local tier=data"
    assert "two" in cli("volume", "rm", "two", code=1).stderr
    cli("rm", "holds")
    cli("volume", "rm", "one", "two")


def test_prune(cli):
    """Anonymous ones; named ones when they are asked for, and for clients from before there was the question."""
    cli("volume", "create", "named")
    cli("volume", "create", "--label", "keep=1", "kept")
    cli(*RUN[:1], "--network", "none", "--name", "leaves", "-v", "/anonymous", "busybox", "true")
    cli("rm", "leaves")
    assert len(cli.out("volume", "ls", "-q").split()) == 3
    words = ("volume", "prune", "-f", "--filter", "label!=keep")
    if "--all" in cli.out("volume", "prune", "--help"):
        cli(*words)
        assert cli.out("volume", "ls", "-q").split() == ["kept", "named"]
        words += ("-a",)
    assert "Total reclaimed space" in cli.out(*words)
    assert cli.out("volume", "ls", "-q").split() == ["kept"]
    cli("volume", "rm", "kept")


def test_run(cli):
    assert cli.out(*RUN, "-v", "data:/d", "busybox", "sh", "-c", "echo text > /d/file; cat /d/file") == "text"
    assert cli.out(*RUN, "-v", "data:/d:ro", "busybox", "cat", "/d/file") == "text"
    assert "Read-only" in cli(*RUN, "-v", "data:/d:ro", "busybox", "touch", "/d/x", code=1).stderr
    assert cli.out(*RUN, "--mount", "type=volume,src=data,dst=/d,readonly", "busybox", "cat", "/d/file") == "text"
    mount = "type=volume,src=fresh,dst=/etc,volume-nocopy,volume-label=a=b"
    assert cli.out(*RUN, "--mount", mount, "busybox", "sh", "-c", "ls /etc | grep -c shadow", code=1) == "0"
    assert cli.out("volume", "inspect", "-f", "{{.Labels.a}}", "fresh") == "b"
    mount = ("type=volume,src=mem,dst=/m,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,"
             "\"volume-opt=o=size=2m,mode=700\"")
    script = "stat -c %a /m; df -k /m | tail -1 | awk '{print $2}'"
    assert cli.out(*RUN, "--mount", mount, "busybox", "sh", "-c", script).split() == ["700", "2048"]
    assert json.loads(cli.out("volume", "inspect", "mem"))[0]["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=2m,mode=700"}
    cli("volume", "rm", "data", "fresh", "mem")


def test_subpath(cli):
    """volume-subpath, for clients that have it (API 1.45)."""
    cli(*RUN, "-v", "sub:/d", "busybox", "sh", "-c", "mkdir -p /d/a/b; echo deep > /d/a/b/file")
    mount = "type=volume,src=sub,dst=/m,volume-subpath=a/b"
    done = cli(*RUN, "--mount", mount, "busybox", "cat", "/m/file", code=None)
    if "unknown option" not in done.stderr and "unexpected key" not in done.stderr:
        assert done.stdout == "deep\n", done
        assert cli(*RUN, "--mount", mount + "/../../../..", "busybox", "true", code=None).returncode != 0
    cli("volume", "rm", "sub")


def test_usage(cli):
    cli(*RUN, "-v", "used:/d", "busybox", "sh", "-c", "dd if=/dev/zero of=/d/file bs=1M count=2")
    line = next(line for line in cli.out("system", "df", "-v").splitlines() if line.startswith("used "))
    assert line.split()[1] == "0" and line.split()[2].startswith("2."), line
    cli("volume", "rm", "used")

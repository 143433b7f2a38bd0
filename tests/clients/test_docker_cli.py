"""The docker CLI, as people use it: run in its modes, then everything around a container."""
import json
import signal
import tarfile
import time

RUN = ("run", "--rm", "--network", "none")


# ---- docker run ----

def test_run_foreground(cli):
    done = cli(*RUN, "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert cli.out("ps", "-aq") == ""


def test_run_exit_codes(cli):
    cli(*RUN, "busybox", "sh", "-c", "exit 42", code=42)
    assert "Error waiting" not in cli(*RUN, "busybox", "/nothing/here", code=127).stderr
    cli(*RUN, "busybox", "/etc/passwd", code=126)
    cli(*RUN, "--no-such-flag", "busybox", "true", code=125)
    cli(*RUN, "-w", "relative/path", "busybox", "true", code=125)
    cli(*RUN, "--init", "busybox", "sh", "-c", "kill -9 $$", code=137)


def test_run_detached(cli):
    container = cli.out("run", "-d", "--name", "detached", "--network", "none", "busybox", "sleep", "1000")
    assert len(container) == 64
    assert cli.out("ps", "-q", "--no-trunc") == container
    assert cli.out("ps", "--format", "{{.Names}} {{.State}} {{.Image}}") == "detached running busybox"
    assert cli.out("stop", "-t", "0", "detached") == "detached"
    assert cli.out("ps", "-a", "--format", "{{.State}}") == "exited"
    assert cli.out("start", "detached") == "detached"
    assert cli.out("rm", "-f", "detached") == "detached"


def test_run_with_piped_input(cli):
    assert cli(*RUN, "-i", "busybox", "cat", input="one\ntwo\n").stdout == "one\ntwo\n"
    assert cli(*RUN, "-i", "busybox", "wc", "-c", input="x" * 1000000).stdout.strip() == "1000000"


def test_run_on_a_terminal(cli):
    shell = cli.terminal(*RUN, "-it", "busybox", "sh")
    shell.expect("# ")
    # The command line tells the size once the container runs.
    shell.sendline("until [ \"$(stty size)\" = '33 111' ]; do :; done; tty; stty size; echo $((40 + 2))")
    shell.expect("/dev/pts/0\r\n33 111\r\n42\r\n")
    shell.setwinsize(20, 70)
    shell.expect("# ")
    shell.sendline("until [ \"$(stty size)\" = '20 70' ]; do :; done; echo resized")
    shell.expect("\nresized\r\n")
    shell.sendline("exit 7")
    shell.expect(shell_eof())
    shell.close()
    assert shell.exitstatus == 7


def shell_eof():
    import pexpect

    return pexpect.EOF


def test_ctrl_c_and_detach_keys(cli):
    shell = cli.terminal("run", "-it", "--name", "keys", "--network", "none", "busybox", "sh", "-c",
                         "trap 'echo caught' INT; echo ready; while :; do read line; done")
    shell.expect("ready")
    shell.sendcontrol("c")
    shell.expect("caught")
    shell.sendcontrol("p")
    shell.sendcontrol("q")
    shell.expect(shell_eof())
    assert cli.out("inspect", "-f", "{{.State.Running}}", "keys") == "true"
    cli("rm", "-f", "keys")


def test_signals_are_proxied(cli):
    run = cli.start("run", "--rm", "--network", "none", "busybox", "sh", "-c",
                    "trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGTERM)
    assert run.communicate(timeout=60)[0] == "term\n"
    assert run.returncode == 5


def test_run_options_of_every_day(cli):
    shown = cli(*RUN, "-e", "A=b", "-w", "/tmp", "-u", "app", "-h", "thathost", "--read-only", "--tmpfs", "/run:size=1m",
                "--cap-drop", "ALL", "--memory", "64m", "--label", "x=y", "busybox", "sh", "-c",
                "echo $A; pwd; id -u; hostname; touch /x 2>&1; grep CapEff /proc/self/status; df /run | tail -1").stdout
    lines = shown.splitlines()
    assert lines[:4] == ["b", "/tmp", "1000", "thathost"]
    assert "Read-only file system" in lines[4] and lines[5].split()[1] == "0" * 16 and lines[6].split()[1] == "1024"


def test_cidfile_and_env_file(cli, tmp_path):
    (tmp_path / "env").write_text("FROM_FILE=1\n")
    shown = cli("run", "--cidfile", tmp_path / "id", "--env-file", tmp_path / "env", "--network", "none", "busybox", "env").stdout
    assert "FROM_FILE=1\n" in shown
    container = (tmp_path / "id").read_text()
    assert cli.out("inspect", "-f", "{{.Id}}", container) == container


def test_a_missing_image_is_named(cli):
    said = cli("run", "--pull", "never", "--rm", "nothing-here:1", code=125).stderr
    assert "No such image: nothing-here:1" in said


def test_what_else_is_missing_is_not_taken_for_the_image(cli):
    said = cli("run", "--rm", "--network", "nothing-here", "busybox", "true", code=125).stderr
    assert "network nothing-here not found" in said and "Unable to find image" not in said
    for option, value in (("--volumes-from", "nobody"), ("--pid", "container:nobody"), ("--ipc", "container:nobody"),
                          ("--network", "container:nobody"), ("--link", "nobody")):
        said = cli("run", "--rm", option, value, "busybox", "true", code=125).stderr
        assert "No such container: nobody" in said and "Unable to find image" not in said, option


def test_a_network_without_addresses_has_none_to_give(cli):
    said = cli("run", "--rm", "--network", "host", "--ip", "10.9.8.7", "busybox", "true", code=125).stderr
    assert "user specified IP address is supported on user defined networks only" in said
    said = cli(*RUN, "-p", "80", "busybox", "true").stderr
    assert "Published ports are discarded when using none network mode" in said


def test_a_start_that_cannot_be_ends_the_container(cli):
    cli("create", "--name", "asleep", "--network", "none", "busybox", "true")
    said = cli("run", "--rm", "--network", "container:asleep", "busybox", "true", code=125).stderr
    assert "not running: asleep" in said
    assert cli.out("ps", "-a", "--format", "{{.Names}}") == "asleep"
    cli("rm", "asleep")


def test_programs_see_that_they_are_in_a_container(cli):
    cli("run", "--name", "sign", "--network", "none", "busybox", "test", "-f", "/.dockerenv")
    assert cli.out("diff", "sign") == ""
    cli(*RUN, "--read-only", "busybox", "test", "-f", "/.dockerenv")
    cli("rm", "sign")


# ---- around a container ----

def running(cli, name, *command, options=()):
    cli("run", "-d", "--name", name, "--network", "none", *options, "busybox", *(command or ("sleep", "1000")))
    return name


def test_exec(cli):
    running(cli, "execs")
    assert cli.out("exec", "execs", "echo", "hi") == "hi"
    cli("exec", "execs", "sh", "-c", "exit 9", code=9)
    cli("exec", "execs", "/not/there", code=127)
    assert cli(*("exec", "-i", "execs", "cat"), input="piped").stdout == "piped"
    assert cli.out("exec", "-e", "K=v", "-w", "/etc", "-u", "1000:2000", "execs", "sh", "-c", "echo $K $PWD $(id -u) $(id -g)") == \
        "v /etc 1000 2000"
    shell = cli.terminal("exec", "-it", "execs", "sh")
    shell.expect("# ")
    shell.sendline("tty && exit 3")
    shell.expect("/dev/pts/")
    shell.expect(shell_eof())
    shell.close()
    assert shell.exitstatus == 3
    cli("exec", "-d", "execs", "touch", "/tmp/made")


def test_logs(cli):
    running(cli, "logs", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; exec sleep 1000")
    follow = cli.start("logs", "-f", "logs")
    assert [follow.stdout.readline() for _ in range(5)] == [f"line {i}\n" for i in range(1, 6)]
    assert follow.stderr.readline() == "bad\n"
    assert cli.out("logs", "--tail", "2", "logs").splitlines()[-1] == "line 5"
    stamped = cli.out("logs", "-t", "logs").splitlines()[0]
    assert stamped.endswith("Z line 1"), stamped
    assert cli("logs", "logs").stderr == "bad\n"
    cli("stop", "-t", "0", "logs")
    follow.communicate(timeout=60)
    assert follow.returncode == 0


def test_attach(cli):
    running(cli, "attached", "sh", "-c", "while read line; do echo got $line; done", options=("-i",))
    attach = cli.start("attach", "attached")
    attach.stdin.write("this\n")
    attach.stdin.flush()
    assert attach.stdout.readline() == "got this\n"
    cli("kill", "attached")
    attach.communicate(timeout=60)
    assert attach.returncode == 137


def test_cp(cli, tmp_path):
    running(cli, "copies")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("content\n")
    cli("cp", tmp_path / "in", "copies:/tmp/")
    assert cli.out("exec", "copies", "cat", "/tmp/in/file") == "content"
    cli("cp", "copies:/tmp/in/.", tmp_path / "out")
    assert (tmp_path / "out/file").read_text() == "content\n"
    cli("stop", "-t", "0", "copies")
    cli("cp", "copies:/etc/passwd", tmp_path / "passwd")
    assert (tmp_path / "passwd").read_text().startswith("root:")
    cli("cp", tmp_path / "passwd", "copies:/home/app/")
    said = cli("cp", "copies:/not/here", tmp_path / "no", code=1).stderr
    assert "Could not find the file /not/here in container copies" in said or "No such container:path: copies:/not/here" in said


def test_top_stats_inspect(cli):
    running(cli, "looks", "sh", "-c", "echo up; read x", options=("--label", "k=v", "-i"))
    while not cli.out("logs", "looks"):
        time.sleep(0.01)
    assert "sh -c echo up; read x" in cli.out("top", "looks")
    assert "sh" in cli.out("top", "looks", "-o", "pid,comm").splitlines()[1]
    assert cli.out("top", "looks", "-o", "pid,cmd").splitlines()[0].split() == ["PID", "CMD"]
    shown = cli.out("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "looks").split()
    assert shown == ["looks", "1"]
    assert cli.out("inspect", "-f", "{{.State.Status}} {{index .Config.Labels \"k\"}}", "looks") == "running v"
    assert cli.out("inspect", "-s", "-f", "{{.SizeRootFs}}", "looks") != "0"
    assert cli.out("ps", "-s", "--format", "{{.Size}}").endswith(")")


def test_inspect_says_what_is_hidden(cli):
    show = ("{{json .HostConfig.MaskedPaths}} {{json .HostConfig.ReadonlyPaths}} {{.GraphDriver.Data.LowerDir}}",)
    for name, options, hidden in (("plain", (), True), ("bare", ("--security-opt", "systempaths=unconfined"), False),
                                  ("mighty", ("--privileged",), False)):
        cli("create", "--name", name, "--network", "none", *options, "busybox", "true")
        masked, readonly, lower = cli.out("inspect", "-f", *show, name).split()
        assert ("/proc/kcore" in masked, "/proc/sys" in readonly) == (hidden, hidden), (name, masked, readonly)
        assert "/layers/" in lower
        cli("rm", name)


def test_diff_commit_export(cli, tmp_path):
    running(cli, "changes", "sh", "-c", "echo new > /home/app/new; rm /etc/group; exec sleep 1000")
    cli("exec", "changes", "sh", "-c", "until [ -e /home/app/new ] && [ ! -e /etc/group ]; do :; done")
    assert set(cli.out("diff", "changes").splitlines()) == \
        {"C /etc", "D /etc/group", "C /home", "C /home/app", "A /home/app/new"}
    image = cli.out("commit", "-m", "because", "-a", "me", "-c", 'CMD ["cat", "/home/app/new"]', "changes", "committed:1")
    assert image.startswith("sha256:")
    assert "echo new > /home/app/new" in cli.out("history", "--no-trunc", "committed:1").splitlines()[1]
    assert cli.out(*RUN, "committed:1") == "new"
    cli("export", "-o", tmp_path / "tar", "changes")
    names = tarfile.open(tmp_path / "tar").getnames()
    assert "home/app/new" in names and "etc/group" not in names
    cli("rmi", "committed:1")


def test_update_rename_pause_wait(cli):
    running(cli, "before", options=("--memory", "64m"))
    cli("update", "--memory", "32m", "--memory-swap", "32m", "--restart", "always", "before")
    assert cli.out("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}", "before") == "33554432 always"
    cli("update", "--restart", "no", "before")
    cli("rename", "before", "after")
    cli("pause", "after")
    assert "(Paused)" in cli.out("ps", "--format", "{{.Status}}")
    cli("unpause", "after")
    wait = cli.start("wait", "after")
    cli("kill", "-s", "KILL", "after")
    assert wait.communicate(timeout=60)[0] == "137\n"
    cli("restart", "-t", "0", "after")
    assert cli.out("inspect", "-f", "{{.State.Running}}", "after") == "true"


def test_events(cli):
    follow = cli.start("events", "--since", time.time(), "--filter", "type=container", "--filter", "container=told", "--format", "{{json .}}")
    running(cli, "told")
    cli("rm", "-f", "told")
    seen = []
    while not seen or seen[-1] != "destroy":
        seen.append(json.loads(follow.stdout.readline())["Action"])
    follow.terminate()
    follow.communicate()
    assert [a for a in seen if a in ("create", "start", "kill", "die", "destroy")] == ["create", "start", "kill", "die", "destroy"]


def test_prune_and_df(cli):
    running(cli, "ended", "true")
    cli("wait", "ended")
    container = cli.out("ps", "-aq", "--no-trunc")
    assert "Containers" in cli.out("system", "df") and "ended" in cli.out("system", "df", "-v")
    assert container in cli.out("container", "prune", "-f")
    assert cli.out("ps", "-aq") == ""


def test_info_and_version(cli):
    assert "Storage Driver" in cli.out("info")
    plugins = json.loads(cli.out("info", "--format", "{{json .Plugins}}"))
    assert {"json-file", "syslog", "splunk"} <= set(plugins["Log"]) and "macvlan" in plugins["Network"]
    assert json.loads(cli.out("version", "--format", "{{json .Server}}"))["ApiVersion"] == "1.47"

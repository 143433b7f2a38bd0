"""docker-compose 1.29 with a project of two services: a web server and its store, a named volume, a network, names by DNS."""
import os
import subprocess

import pytest

from tests.harness.ports import free_port

PROJECT = """
version: "3.8"
services:
  store:
    image: busybox
    command: sh -c "mkdir -p /data/www && echo kept > /data/www/file && exec httpd -f -p 8000 -h /data/www"
    volumes: ["data:/data"]
    networks: [back]
    healthcheck:
      test: ["CMD", "test", "-e", "/data/www/file"]
      interval: 1s
  web:
    image: busybox
    depends_on: [store]
    command: sh -c "until nc -w 1 store 8000 < /dev/null; do sleep 0.1; done; exec nc -ll -p 80 -e nc store 8000"
    environment:
      MODE: test
    ports: ["127.0.0.1:{port}:80"]
    networks: [front, back]
volumes:
  data: {{}}
networks:
  front: {{}}
  back:
    internal: true
"""


@pytest.fixture
def compose(engine, tmp_path):
    port = free_port()
    (tmp_path / "docker-compose.yml").write_text(PROJECT.format(port=port))
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{engine.socket}",
           "COMPOSE_PROJECT_NAME": "shop"}

    def run(*arguments):
        done = subprocess.run(["docker-compose", *arguments], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{arguments}: {done}\n{engine.log()[-2000:]}"
        return done.stdout

    run.port = port
    yield run
    run("down", "-v", "-t", "0")


def fetch(port):
    """One HTTP request to the published port, again while the web server is not up yet."""
    import http.client

    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/file")
            return connection.getresponse().read().decode()
        except (ConnectionError, http.client.HTTPException):
            pass
        finally:
            connection.close()


def test_project(engine, compose):
    compose("up", "-d")
    assert fetch(compose.port) == "kept\n"
    assert compose("ps", "-q").split()
    assert "Up" in compose("ps")
    assert compose("exec", "-T", "web", "sh", "-c", "echo $MODE") == "test\n"
    assert compose("port", "web", "80") == f"127.0.0.1:{compose.port}\n"
    compose("restart", "-t", "0", "store")
    assert fetch(compose.port) == "kept\n"
    compose("up", "-d", "--scale", "store=2")
    assert len(compose("ps", "-q", "store").split()) == 2
    compose("logs")
    compose("stop", "-t", "0")
    compose("rm", "-f")
    assert engine.api("GET", "/containers/json?all=1").json == []
    assert engine.docker("volume", "ls", "-q").stdout.split() == ["shop_data"]
    compose("down", "-v")
    assert engine.docker("volume", "ls", "-q").stdout.split() == []
    assert engine.docker("network", "ls", "-q", "--filter", "name=shop_").stdout.split() == []

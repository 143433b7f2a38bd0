"""Clients from npm: dockerode and testcontainers, each by a file of node:test."""


def test_dockerode(node):
    node("dockerode.test.mjs")


def test_testcontainers(node):
    node("testcontainers.test.mjs")

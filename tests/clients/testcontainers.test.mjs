// Testcontainers: a container with a port, waited for in each of its ways. DOCKER_HOST names the engine.
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { GenericContainer, Network, Wait } from "testcontainers";

function ask(host, port) {
	return new Promise((resolve, reject) => {
		const socket = net.connect(port, host);
		let text = "";
		socket.on("data", (data) => (text += data));
		socket.on("end", () => resolve(text));
		socket.on("error", reject);
	});
}

const greeter = ["sh", "-c", "echo listening; exec nc -ll -p 7000 -e echo hello"];

test("a published port, waited for by the port", async () => {
	const started = await new GenericContainer("busybox").withCommand(greeter).withExposedPorts(7000).start();
	assert.equal(await ask(started.getHost(), started.getMappedPort(7000)), "hello\n");
	const { output, exitCode } = await started.exec(["echo", "inside"]);
	assert.equal(exitCode, 0);
	assert.equal(output, "inside\n");
	await started.stop();
});

test("waited for by its log, by a command, by its health", async () => {
	for (const strategy of [Wait.forLogMessage("listening"), Wait.forSuccessfulCommand("nc 127.0.0.1 7000 </dev/null"),
		Wait.forHealthCheck()]) {
		const started = await new GenericContainer("busybox").withCommand(greeter)
			.withHealthCheck({ test: ["CMD", "true"], interval: 1000 }).withWaitStrategy(strategy).start();
		await started.stop();
	}
});

test("files go in, names resolve on a network", async () => {
	const network = await new Network().start();
	const server = await new GenericContainer("busybox").withCommand(greeter).withNetwork(network)
		.withNetworkAliases("greeter").withWaitStrategy(Wait.forLogMessage("listening")).start();
	const client = await new GenericContainer("busybox").withNetwork(network)
		.withCopyContentToContainer([{ content: "copied\n", target: "/tmp/file" }])
		.withEnvironment({ KEY: "value" }).withCommand(["sleep", "1000"]).start();
	assert.equal((await client.exec(["cat", "/tmp/file"])).output, "copied\n");
	assert.equal((await client.exec(["nc", "greeter", "7000"])).output, "hello\n");
	assert.equal((await client.exec(["sh", "-c", "echo $KEY"])).output, "value\n");
	await client.stop();
	await server.stop();
	await network.stop();
});

// dockerode, as tools of Node.js use it. DOCKER_HOST names the engine.
import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { test } from "node:test";
import Docker from "dockerode";

const docker = new Docker({ socketPath: process.env.DOCKER_HOST.replace("unix://", "") });

class Collected extends Writable {
	text = "";
	_write(chunk, _encoding, done) {
		this.text += chunk;
		done();
	}
}

async function container(Cmd, more = {}) {
	return docker.createContainer({ Image: "busybox", Cmd, HostConfig: { NetworkMode: "none" }, ...more });
}

test("ping, version, info", async () => {
	assert.equal(String(await docker.ping()), "OK");
	assert.equal((await docker.version()).ApiVersion, "1.47");
	assert.equal((await docker.info()).OSType, "linux");
});

test("run collects what a container writes", async () => {
	const out = new Collected(), err = new Collected();
	const [result, ran] = await docker.run("busybox", ["sh", "-c", "echo out; echo err >&2; exit 3"], [out, err],
		{ Tty: false, HostConfig: { NetworkMode: "none" } });
	assert.equal(result.StatusCode, 3);
	assert.equal(out.text, "out\n");
	assert.equal(err.text, "err\n");
	await ran.remove();
});

test("attach with input over a hijacked stream", async () => {
	const made = await container(["cat"], { OpenStdin: true, StdinOnce: true, AttachStdin: true });
	const stream = await made.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
	const out = new Collected();
	made.modem.demuxStream(stream, out, new PassThrough());
	await made.start();
	stream.write("typed\n");
	stream.end();
	assert.equal((await made.wait()).StatusCode, 0);
	if (!stream.readableEnded) await once(stream, "end");
	assert.equal(out.text, "typed\n");
	await made.remove();
});

test("exec, logs, stats, top, inspect", async () => {
	const made = await container(["sh", "-c", "echo started; exec sleep 1000"]);
	await made.start();
	const exec = await made.exec({ Cmd: ["sh", "-c", "echo in $0; exit 5", "exec"], AttachStdout: true, AttachStderr: true });
	const stream = await exec.start({});
	const out = new Collected();
	made.modem.demuxStream(stream, out, out);
	await once(stream, "end");
	assert.equal(out.text, "in exec\n");
	assert.equal((await exec.inspect()).ExitCode, 5);
	assert.match(String(await made.logs({ stdout: true })), /started\n$/);
	assert.equal((await made.stats({ stream: false })).pids_stats.current, 1);
	assert.equal((await made.top()).Processes.length, 1);
	assert.equal((await made.inspect()).State.Running, true);
	await made.kill();
	await made.remove({ force: true });
});

test("errors carry the status and the message", async () => {
	await assert.rejects(docker.getContainer("nothing").inspect(),
		(e) => e.statusCode === 404 && /No such container: nothing/.test(e.json.message));
	await assert.rejects(docker.createContainer({ Image: "not-here" }), (e) => e.statusCode === 404);
	await assert.rejects(docker.createContainer({ Image: "busybox", HostConfig: { Memory: "much" } }),
		(e) => e.statusCode === 400 && /Memory/.test(e.json.message));
});

test("volumes, networks, events", async () => {
	const events = await docker.getEvents({ filters: { type: ["volume"] } });
	const volume = await docker.createVolume({ Name: "rode" });
	const [line] = await once(events, "data");
	const event = JSON.parse(line);
	assert.equal(event.Action, "create");
	assert.equal(event.Actor.ID, "rode");
	events.destroy();
	await docker.getVolume(volume.Name ?? volume.name).remove();
	const network = await docker.createNetwork({ Name: "rode" });
	assert.equal((await network.inspect()).Name, "rode");
	await network.remove();
});

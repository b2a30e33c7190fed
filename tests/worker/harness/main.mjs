// `node main.mjs BUNDLE [ISOLATE_MODULE …]`: runs the worker in BUNDLE, and is told what to do over loopback HTTP.
//
// Prints one line of JSON when it is up: {"port": …, "import": {…}}. Ends with the process that started it.

import http from "node:http";
import path from "node:path";
import v8 from "node:v8";
import vm from "node:vm";
import { Worker } from "node:worker_threads";

import { current, describe, threadCpuMs } from "./contexts.mjs";
import { boot, heapBytes } from "./pyodide.mjs";
import { Service } from "./service.mjs";

const PARENT_CHECK_MS = 500;

v8.setFlagsFromString("--expose-gc");
const gc = vm.runInNewContext("gc");

// On a thread of its own: this one may be in a loop of Python's when the tests are killed.
const parent = Number(process.env.HARNESS_PARENT ?? process.ppid);
const watchParent = `
  setInterval(() => { if (process.ppid !== ${parent}) process.kill(process.pid, "SIGKILL"); }, ${PARENT_CHECK_MS});
`;
new Worker(watchParent, { eval: true }).unref();

// What a worker leaves unhandled is its own affair, and must not end the others.
process.on("unhandledRejection", (error) => {
  const text = `Unhandled rejection: ${describe(error)}`;
  const service = current()?.service;
  if (service) service.log("error", text);
  else process.stderr.write(`${text}\n`);
});

const [bundle, ...isolateModules] = process.argv.slice(2);
const began = performance.now();
const runtime = await boot(path.resolve(bundle));
const bootMs = performance.now() - began;
const services = new Map();

// The first import is a cold one, of all modules: that is the one to measure.
const imported = await new Service(runtime, "first").load(isolateModules);

let numbers = 0;

const COMMANDS = {
  async start({ settings, hyperdrive, limits }) {
    const name = String(++numbers);
    const service = new Service(runtime, name);
    const load = await service.load(isolateModules);
    if (load.error) return { error: load.error, violations: service.violations };
    services.set(name, service);
    return { name, load, port: await service.start({ settings, hyperdrive, limits }) };
  },
  async stop({ name }) {
    const service = find(name);
    services.delete(name);
    await service.stop();
    return { violations: service.violations };
  },
  async idle({ name }) {
    await find(name).idle();
    return {};
  },
  reports: ({ name }) => ({ reports: find(name).reports.splice(0) }),
  log: ({ name }) => ({ lines: find(name).lines.splice(0) }),
  violations: ({ name }) => ({ violations: find(name).violations.splice(0) }),
  underway: ({ name }) => ({
    requests: [...find(name).contexts].map(({ name: request, state, background }) => ({
      request, state, background: background.unsettled,
    })),
  }),
  abandon: ({ name, unanswered }) => ({ cut: find(name).abandon(unanswered) }),
  async scheduled({ name, cron, timeMs }) {
    return { report: await find(name).scheduled(cron, timeMs) };
  },
  rates({ name, fault, shiftMs }) {
    const { rates } = find(name);
    if (fault !== undefined) rates.fault = fault;
    if (shiftMs !== undefined) rates.shiftMs += shiftMs;
    return { calls: rates.calls };
  },
  async memory({ collect }) {
    if (collect) await collectGarbage();
    return {
      heapBytes: heapBytes(runtime.pyodide),
      cpuMs: threadCpuMs(),
      pythonObjects: collect ? runtime.python.counted_objects() : null,
      ...process.memoryUsage(),
    };
  },
  modules: () => ({ modules: runtime.python.modules().toJs() }),
};

/** Python lets go of what only JavaScript's garbage refers to once that has been collected and finalized. */
async function collectGarbage() {
  for (let round = 0; round < 3; round += 1) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
    runtime.python.counted_objects();
  }
}

function find(name) {
  const service = services.get(name);
  if (!service) throw new Error(`no service ${name}`);
  return service;
}

async function obey(request, response) {
  const command = COMMANDS[request.url.slice(1)];
  try {
    let text = "";
    for await (const chunk of request) text += chunk;
    const answer = await command(text ? JSON.parse(text) : {});
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(500, { "content-type": "text/plain" }).end(String(error?.stack ?? error));
  }
}

const control = http.createServer(obey);
control.listen(0, "127.0.0.1", () => {
  const up = { port: control.address().port, bootMs, import: imported };
  process.stdout.write(`${JSON.stringify(up)}\n`);
});

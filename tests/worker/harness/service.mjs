// A service: a fresh isolate of the worker with an `env` and a port of its own.

import { makeEnv } from "./bindings.mjs";
import { busyMs, describe, RequestContext, runIn, Startup, threadCpuMs } from "./contexts.mjs";
import { listen, send } from "./front.mjs";
import { bind } from "./platform.mjs";
import { ExecutionContext, heapBytes } from "./pyodide.mjs";

const LOG_LINES_MAX = 10_000;
const HUNG_AFTER_MS = 2_000;
const HUNG_CHECK_MS = 250;

let imports = Promise.resolve();

export class Service {
  constructor(runtime, name) {
    this.runtime = runtime;
    this.name = name;
    this.contexts = new Set();
    this.reports = [];
    this.violations = [];
    this.graves = [];
    this.lines = [];
    this.rates = { fault: null, shiftMs: 0, calls: 0 };
  }

  /** Import the worker anew. Resolves to what that took. */
  async load(isolateModules) {
    const { pyodide, python } = this.runtime;
    const startup = new Startup(this);
    const before = { cpuMs: threadCpuMs(), ms: performance.now(), heap: heapBytes(pyodide) };
    // One at a time: an isolate's modules are dropped and imported again by name.
    const loaded = imports.then(() => runIn(startup, () => python.load.callPromising(isolateModules)));
    imports = loaded.catch(() => {});
    try {
      this.entrypoint = await loaded;
    } catch (error) {
      this.failure = describe(error);
    }
    return {
      ms: performance.now() - before.ms,
      cpuMs: threadCpuMs() - before.cpuMs,
      heapBytesBefore: before.heap,
      heapBytes: heapBytes(pyodide),
      ...startup.counts,
      error: this.failure ?? (this.violations.length > 0 ? "refused at import" : null),
      violations: this.violations,
    };
  }

  /** Listen; resolves to the port. */
  async start(options) {
    this.env = makeEnv(options, this.rates);
    this.server = await listen((request, outgoing) => this.#serve(request, outgoing));
    this.hungCheck = setInterval(() => this.#endHung(), HUNG_CHECK_MS).unref();
    return this.server.address().port;
  }

  async stop() {
    clearInterval(this.hungCheck);
    this.server?.close();
    for (const context of [...this.contexts]) context.cut();
    this.server?.closeAllConnections();
    this.entrypoint?.destroy();
    this.entrypoint = null;
    this.graves.length = 0;
  }

  violate(kind, detail) {
    this.violations.push(`${kind}: ${detail}`);
  }

  log(stream, text) {
    if (this.lines.length < LOG_LINES_MAX) this.lines.push({ stream, text });
  }

  /** Run the cron handler; resolves to its report, when its background work is done. */
  async scheduled(cron, timeMs) {
    const context = new RequestContext(this, `cron ${cron}`);
    const controller = { cron, scheduledTime: timeMs, type: "scheduled", noRetry() {} };
    await runIn(context, async () => {
      try {
        await this.#call(context, "scheduled", controller);
        context.answered("ok");
      } catch (error) {
        this.#fail(context, error);
      }
    });
    return context.ended;
  }

  /** End what runs, as when the platform stops waiting: what was answered, or else all there is. */
  abandon(unanswered) {
    const cut = [...this.contexts].filter((context) => unanswered || context.state === "answered");
    for (const context of cut) context.cut();
    return cut.length;
  }

  /** Resolves when no request is under way. */
  async idle() {
    while (this.contexts.size > 0) await Promise.all([...this.contexts].map((context) => context.ended));
  }

  #call(context, method, argument) {
    const { python } = this.runtime;
    return context.deliver(
      python.call.callWithOptions(
        { relaxed: false, promising: true },
        context.id, this.entrypoint, new ExecutionContext(context), this.env, method, argument,
      ),
    );
  }

  #serve(request, outgoing) {
    const context = new RequestContext(this, `${request.method} ${new URL(request.url).pathname}`);
    context.outgoing = outgoing;
    // The exchange goes with its request: cut off unanswered, the client sees the connection close.
    context.resources.add({ close: () => outgoing.writableEnded || outgoing.destroy() });
    outgoing.once("close", () => outgoing.writableFinished || context.clientGone());
    runIn(context, async () => {
      try {
        bind(context, request, "request body");
        const result = await this.#call(context, "fetch", request);
        context.report.handlerBusyMs = busyMs() - context.startedBusyMs;
        const response = result?.js_object ?? result?.js_response ?? result;
        context.report.status = response.status;
        const sent = await send(response, request, outgoing);
        context.answered(sent ? "ok" : "client gone");
      } catch (error) {
        this.#fail(context, error);
      }
    });
  }

  #fail(context, error) {
    context.report.error = describe(error);
    this.log("error", `${context.name} failed: ${describe(error)}`);
    const { outgoing } = context;
    if (outgoing?.headersSent) outgoing.destroy();
    else outgoing?.writeHead(500, { "content-type": "text/plain" }).end("error code: 1101");
    context.report.status ??= 500;
    context.answered("exception");
  }

  /** A request that waits for nothing of its own any more will never be answered. */
  #endHung() {
    const now = performance.now();
    for (const context of this.contexts) {
      // One promise is always pending while it runs: that of the call itself.
      const waits = context.state !== "running" || context.pending > 1 || context.outgoing?.headersSent;
      context.idleSinceMs = waits ? null : (context.idleSinceMs ?? now);
      if (!waits && now - context.idleSinceMs > HUNG_AFTER_MS) {
        this.violate("hung", `${context.name} waits for what will never come`);
        this.#fail(context, new Error("the worker's code had hung and would never generate a response"));
      }
    }
  }
}

// What workerd calls an IoContext: one request (or one run of the cron handler), with all that it opened.
//
// The context of whatever runs is found through AsyncLocalStorage, which follows promises, timers and the
// stacks that Pyodide suspends. Timers and I/O belong to the context that made them, end with it, and are
// refused elsewhere. What is refused is noted besides, since code under test may swallow the error.

import { AsyncLocalStorage } from "node:async_hooks";

export const CONNECTIONS_MAX = 6;
export const BACKGROUND_MAX_MS = 30_000;

const IN_GLOBAL_SCOPE =
  "Disallowed operation called within global scope. Asynchronous I/O (fetch, connect), timers and random values " +
  "are not allowed within global scope.";
const OF_ANOTHER =
  "Cannot perform I/O on behalf of a different request. I/O objects (streams, sockets, bodies) created in the " +
  "context of one request handler cannot be accessed from a different request's handler.";

const storage = new AsyncLocalStorage();

/** The context of the code that runs, or undefined in the harness itself. */
export const current = () => storage.getStore();

/** Run a function, and all that comes of it, in a context. */
export const runIn = (context, work, ...args) => storage.run(context, work, ...args);

/** Import of the worker: nothing may be opened, waited for or drawn. */
export class Startup {
  constructor(service) {
    this.service = service;
    this.name = "startup";
    this.counts = { fetches: 0, sockets: 0, timers: 0, entropy: 0 };
    this.entropyAllowed = 0;
  }

  refuse(kind, detail) {
    this.counts[kind] += 1;
    this.service.violate(kind, `at import: ${detail}`);
    return new Error(`${IN_GLOBAL_SCOPE} (${detail})`);
  }

  /** Only what has no delay: it becomes a microtask, as in workerd. */
  schedule(callback, delayMs) {
    if (delayMs > 0) throw this.refuse("timers", `a timer of ${delayMs} ms`);
    queueMicrotask(callback);
  }
}

let numbers = 0;

/** A request under way. `ended` resolves once nothing of it can run any more. */
export class RequestContext {
  constructor(service, name) {
    this.service = service;
    this.id = ++numbers;
    this.name = name;
    this.state = "running"; // then "answered", then "ended"
    this.resources = new Set();
    this.waiters = new Set();
    this.pending = 0;
    this.idleSinceMs = null;
    this.connections = new Connections(this);
    this.background = { promises: 0, unsettled: 0, failed: 0 };
    this.ended = new Promise((resolve) => (this.resolveEnded = resolve));
    this.abort = new AbortController();
    this.report = {
      id: this.id, request: name, status: null, outcome: null, error: null,
      fetches: [], socketsOpened: 0, socketsOpenAtEnd: 0, timers: 0,
      waitUntil: 0, waitUntilUnsettledAtAnswer: 0, waitUntilFailed: 0, waitUntilCut: false,
      handlerBusyMs: null, answerBusyMs: null, busyMs: null, cpuMs: null, answerMs: null, totalMs: null, alone: true,
    };
    this.startedBusyMs = busyMs();
    this.startedCpuMs = threadCpuMs();
    this.startedMs = performance.now();
    for (const other of service.contexts) other.report.alone = this.report.alone = false;
    service.contexts.add(this);
  }

  get isEnded() {
    return this.state === "ended";
  }

  /** Throws unless the code that runs belongs to this request. */
  check(what) {
    const here = current();
    if (here === this) return;
    if (!this.isEnded || here?.isEnded === false) {
      this.service.violate("foreign I/O", `${what} of ${this.name} used in ${here?.name ?? "no request"}`);
    }
    throw new Error(`${OF_ANOTHER} (I/O type: ${what})`);
  }

  /** A promise of this request's I/O: it settles in the request, and never once that has ended. */
  deliver(promise) {
    this.pending += 1;
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.waiters.add(waiter);
      const settle = (how) => (value) => {
        this.pending -= 1;
        if (this.isEnded) return;
        this.waiters.delete(waiter);
        how(value);
      };
      promise.then(settle(resolve), settle(reject));
    });
  }

  /** Run a callback later, unless the request has ended by then. Returns a function that forgets it. */
  schedule(callback, delayMs = 0) {
    if (this.isEnded) return () => {};
    const run = () => {
      forget();
      callback();
    };
    this.pending += 1;
    if (delayMs > 0) this.report.timers += 1;
    const soon = !(delayMs >= 1);
    const handle = soon ? setImmediate(run) : setTimeout(run, delayMs);
    const timer = { callback, close: () => (soon ? clearImmediate(handle) : clearTimeout(handle)) };
    this.resources.add(timer);
    const forget = () => {
      if (!this.resources.delete(timer)) return;
      this.pending -= 1;
      timer.close();
    };
    return forget;
  }

  waitUntil(promise) {
    if (this.isEnded) throw new Error("waitUntil() after the request has ended");
    this.background.promises += 1;
    this.background.unsettled += 1;
    Promise.resolve(promise).then(
      () => this.#settled(),
      (error) => {
        this.background.failed += 1;
        this.service.log("error", `Background work of ${this.name} failed: ${describe(error)}`);
        this.#settled();
      },
    );
  }

  /** The answer was sent, or nobody is there to take it: what goes on is background work. */
  answered(outcome) {
    if (this.state !== "running") return;
    this.state = "answered";
    this.report.outcome ??= outcome;
    this.report.answerMs = performance.now() - this.startedMs;
    this.report.answerBusyMs = busyMs() - this.startedBusyMs;
    this.report.waitUntilUnsettledAtAnswer = this.background.unsettled;
    if (this.background.unsettled === 0) this.end();
    else this.deadline = setTimeout(() => this.cut(), BACKGROUND_MAX_MS).unref();
  }

  /** The client left. workerd then lets go of everything but what was given to waitUntil. */
  clientGone() {
    this.answered("client gone");
  }

  /** End it although work is left: that work never runs on, not even its `finally`. */
  cut() {
    if (this.isEnded) return;
    this.report.waitUntilCut = this.background.unsettled > 0;
    this.report.outcome ??= "cut";
    this.end();
  }

  end() {
    if (this.isEnded) return;
    this.state = "ended";
    clearTimeout(this.deadline);
    const report = this.report;
    report.busyMs = busyMs() - this.startedBusyMs;
    report.cpuMs = threadCpuMs() - this.startedCpuMs;
    report.totalMs = performance.now() - this.startedMs;
    report.waitUntil = this.background.promises;
    report.waitUntilFailed = this.background.failed;
    report.socketsOpenAtEnd = this.connections.sockets.size;
    report.connectionsMost = this.connections.most;
    report.connectionsWaited = this.connections.waited;
    for (const resource of this.resources) resource.close();
    // Python closes coroutines that nothing refers to, and runs their `finally`: what was cut off stays referred to.
    if (report.outcome !== "ok" || report.waitUntilCut) this.service.graves.push(this.waiters, this.resources);
    // Else nothing refers to it: a timer that was cleared refers to Python's context, and that to this one, which
    // no collector sees through.
    this.waiters = new Set();
    this.resources = new Set();
    this.abort.abort(new Error("the request has ended"));
    this.service.contexts.delete(this);
    this.service.reports.push(report);
    this.resolveEnded(report);
  }

  #settled() {
    this.background.unsettled -= 1;
    if (this.background.unsettled === 0 && this.state === "answered") this.end();
  }
}

/** At most six connections at once: fetches that wait for headers, and open sockets. The seventh waits. */
class Connections {
  constructor(context) {
    this.context = context;
    this.sockets = new Set();
    this.open = 0;
    this.most = 0;
    this.waited = 0;
    this.queue = [];
  }

  /** Resolves to a function that gives the connection back. */
  async take() {
    if (this.open >= CONNECTIONS_MAX) {
      this.waited += 1;
      await this.context.deliver(new Promise((resolve) => this.queue.push(resolve)));
    } else {
      this.open += 1;
    }
    this.most = Math.max(this.most, this.open);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const next = this.queue.shift();
      if (next) next();
      else this.open -= 1;
    };
  }
}

/** The request that runs; import of the worker, and code outside of requests, have none. */
export function requireRequest(kind, what) {
  const context = current();
  if (context instanceof RequestContext) return context;
  if (context instanceof Startup) throw context.refuse(kind, what);
  throw new Error(`${IN_GLOBAL_SCOPE} (${what})`);
}

/** How long this thread did not wait, ms: its CPU time, if no other process was in its way. */
export const busyMs = () => performance.eventLoopUtilization().active;

/** CPU time of this thread, which runs JavaScript and WebAssembly, ms. Some systems count it by ticks of 4 ms. */
export function threadCpuMs() {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

export const describe = (error) => String(error?.stack ?? error);

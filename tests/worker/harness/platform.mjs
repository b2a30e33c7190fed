// The globals a worker sees (`import js` in Python) and the modules it can import from JavaScript.
// Whatever does I/O, waits or draws random values is bound to the request that runs.

import { createRequire } from "node:module";

import { current, RequestContext, requireRequest, Startup } from "./contexts.mjs";
import { connect } from "./sockets.mjs";

const require = createRequire(import.meta.url);
const nodeCrypto = require("node:crypto");
const nodeFetch = globalThis.fetch;
const webCrypto = globalThis.crypto;
const BODY_METHODS = ["arrayBuffer", "blob", "bytes", "formData", "json", "text", "clone"];
const SCRYPT_COST_MAX = 2 ** 20;
const EIO = 29; // Emscripten's number, which becomes an OSError in Python

/** Refuse the use of a body outside of `owner`. */
export function bind(owner, message, what) {
  const refuseElsewhere = (target, name, make) =>
    Object.defineProperty(target, name, { value: make, configurable: true, writable: true });
  for (const name of BODY_METHODS) {
    const original = message[name].bind(message);
    refuseElsewhere(message, name, (...args) => {
      owner.check(what);
      if (name === "clone") return bind(owner, original(), what);
      return owner.deliver(original(...args));
    });
  }
  const body = message.body;
  if (body === null) return message;
  const getReader = body.getReader.bind(body);
  refuseElsewhere(body, "getReader", (...args) => {
    owner.check(what);
    const reader = getReader(...args);
    const read = reader.read.bind(reader);
    refuseElsewhere(reader, "read", (...into) => {
      owner.check(what);
      return owner.deliver(read(...into));
    });
    return reader;
  });
  refuseElsewhere(body, Symbol.asyncIterator, async function* iterate() {
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      }
    } finally {
      reader.releaseLock();
    }
  });
  return message;
}

async function guardedFetch(input, init = {}) {
  const url = new URL(input?.url ?? input);
  const owner = requireRequest("fetches", `fetch of ${url.pathname}`);
  if (init.redirect === "error") throw new TypeError('Invalid redirect value, must be one of "follow" or "manual".');
  const giveBack = await owner.connections.take();
  const entry = { method: init.method ?? input?.method ?? "GET", path: url.pathname, status: null };
  owner.report.fetches.push(entry);
  const signals = [owner.abort.signal, init.signal ?? input?.signal].filter(Boolean);
  try {
    const answer = await owner.deliver(nodeFetch(input, { ...init, signal: AbortSignal.any(signals) }));
    entry.status = answer.status;
    return bind(owner, answer, "fetch response");
  } finally {
    giveBack();
  }
}

function guardedSetTimeout(callback, delayMs = 0, ...args) {
  return requireRequest("timers", `a timer of ${delayMs} ms`).schedule(() => callback(...args), delayMs);
}

/** What asyncio's loop runs its callbacks by. False when they are of another request than the one that runs. */
export function schedule(callback, delayMs, ownerId) {
  const here = current();
  if (!(here instanceof RequestContext || here instanceof Startup)) {
    setTimeout(callback, delayMs); // the harness' own
    return true;
  }
  here.schedule(callback, delayMs);
  if (ownerId === undefined || ownerId === here.id) return true;
  // What waited is gone already: nothing is woken.
  return ![...here.service.contexts].some((context) => context.id === ownerId);
}

/** Note that what one request awaited was settled by another: its timers and I/O may be gone by then. */
export function violateWake(ownerId, callback) {
  const here = current();
  here.service.violate("foreign wake", `${here.name} woke request ${ownerId}: ${callback}`);
}

function drawn(what) {
  const context = current();
  if (!(context instanceof Startup)) return null;
  if (context.entropyAllowed > 0) {
    context.entropyAllowed -= 1;
    return null;
  }
  return context.refuse("entropy", what);
}

const randomFillSync = nodeCrypto.randomFillSync;

/** Emscripten draws through this; an error with a number becomes an OSError there. */
export function guardEntropy() {
  nodeCrypto.randomFillSync = (view, ...rest) => {
    const refusal = drawn("random bytes");
    if (refusal) throw Object.assign(refusal, { name: "ErrnoError", errno: EIO });
    return randomFillSync(view, ...rest);
  };
}

/** Python packages that workerd lets draw at import, by name and number, ask for it here. */
export function allowEntropy(calls) {
  const context = current();
  if (context instanceof Startup) context.entropyAllowed = calls;
  return 0;
}

const guardedWebCrypto = {
  getRandomValues(view) {
    const refusal = drawn("crypto.getRandomValues");
    if (refusal) throw refusal;
    return webCrypto.getRandomValues(view);
  },
  randomUUID() {
    const refusal = drawn("crypto.randomUUID");
    if (refusal) throw refusal;
    return webCrypto.randomUUID();
  },
  subtle: webCrypto.subtle,
};

// workerd computes scrypt on the isolate's own thread, with a callback or without.
function scryptSync(password, salt, length, options = {}) {
  const { N = 16384, r = 8, p = 1 } = { N: options.cost, r: options.blockSize, p: options.parallelization, ...options };
  if (N * r * p > SCRYPT_COST_MAX) throw new RangeError("Invalid scrypt params: N * r * p is over the limit");
  return nodeCrypto.scryptSync(password, salt, length, options);
}

function scrypt(password, salt, length, options, callback) {
  if (typeof options === "function") [options, callback] = [{}, options];
  const owner = requireRequest("timers", "crypto.scrypt");
  const key = scryptSync(password, salt, length, options);
  owner.schedule(() => callback(null, key));
}

function random(name) {
  return (...args) => {
    const refusal = drawn(`crypto.${name}`);
    if (refusal) throw refusal;
    return nodeCrypto[name](...args);
  };
}

const cryptoModule = Object.assign({}, nodeCrypto, {
  scrypt,
  scryptSync,
  ...Object.fromEntries(
    ["randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID"].map((name) => [name, random(name)]),
  ),
});
cryptoModule.default = cryptoModule;

const NODE_MODULES = {
  "node:crypto": cryptoModule,
  "node:buffer": require("node:buffer"),
  "node:util": require("node:util"),
};

/** The modules that a worker gets from outside of its bundle. */
export async function importModule(name, bundle) {
  if (Object.hasOwn(NODE_MODULES, name)) return NODE_MODULES[name];
  if (name === "cloudflare:sockets") return { connect };
  if (name.startsWith("python_modules/workers/") && !name.includes("..")) return import(`${bundle}/${name}`);
  throw new Error(`No such module "${name}".`);
}

/** `js` of the worker: Node's globals that workerd has as well, those that do I/O guarded. */
export function makeGlobals() {
  const own = Object.getOwnPropertyNames(globalThis).filter(
    (name) => !["global", "globalThis", "process", "require", "setInterval", "clearInterval"].includes(name),
  );
  const globals = {};
  for (const name of own) {
    const { get } = Object.getOwnPropertyDescriptor(globalThis, name);
    if (get) Object.defineProperty(globals, name, { get: () => globalThis[name], configurable: true });
    else globals[name] = globalThis[name];
  }
  const log = (level) => (...parts) => current()?.service.log(level, parts.map(String).join(" "));
  Object.defineProperties(globals, {
    crypto: { value: guardedWebCrypto },
    console: {
      value: Object.fromEntries(["debug", "error", "info", "log", "warn"].map((level) => [level, log(level)])),
    },
  });
  return Object.assign(globals, {
    fetch: guardedFetch,
    setTimeout: guardedSetTimeout,
    clearTimeout: (forget) => forget?.(),
    globalThis: globals,
    self: globals,
  });
}

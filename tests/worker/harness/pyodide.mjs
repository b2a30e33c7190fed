// One Pyodide, set up as workerd sets up its own, and what of it is the harness'.

import { fileURLToPath } from "node:url";

import { loadPyodide } from "pyodide";

import { current, RequestContext } from "./contexts.mjs";
import { allowEntropy, guardEntropy, importModule, makeGlobals, schedule, violateWake } from "./platform.mjs";
import { connect } from "./sockets.mjs";

const COMPAT_FLAGS = { python_workflows_implicit_dependencies: true, python_request_headers_preserve_commas: true };
const OWN_PYTHON = fileURLToPath(new URL("./python", import.meta.url));
const BUNDLE = "/session/metadata";

// What `cloudflare:workers` gives to code that runs in a request.
const workersModule = {
  get env() {
    return current()?.service?.env ?? {};
  },
  waitUntil(promise) {
    const context = current();
    if (!(context instanceof RequestContext)) throw new Error("waitUntil() outside of a request");
    context.waitUntil(settled(promise));
  },
};

/** A JavaScript promise of what Python passes: its proxy is only lent for the length of the call. */
async function settled(promise) {
  const kept = typeof promise?.copy === "function" ? promise.copy() : promise;
  try {
    await kept;
  } finally {
    kept?.destroy?.();
  }
}

export class ExecutionContext {
  #context;

  constructor(context) {
    this.#context = context;
    this.props = {};
  }

  get [Symbol.toStringTag]() {
    return "ExecutionContext";
  }

  waitUntil(promise) {
    this.#context.check("ExecutionContext");
    this.#context.waitUntil(settled(promise));
  }

  passThroughOnException() {}
}

/** Load Pyodide with `bundle` (a directory with entry.py and python_modules/) mounted. Returns it and its calls. */
export async function boot(bundle) {
  guardEntropy();
  const say = (stream) => (line) => {
    const service = current()?.service;
    if (service) service.log(stream, line);
    else process.stderr.write(`${line}\n`);
  };
  const pyodide = await loadPyodide({
    jsglobals: makeGlobals(),
    stdout: say("stdout"),
    stderr: say("stderr"),
    // workerd has no environment; the hash seed is the snapshot's, the same in every isolate.
    env: { HOME: "/session", PYTHONHASHSEED: "0" },
  });
  pyodide.registerJsModule("_pyodide_entrypoint_helper", {
    doAnImport: (name) => importModule(name, bundle),
    cloudflareWorkersModule: workersModule,
    cloudflareSocketsModule: { connect },
    patchWaitUntil() {}, // ExecutionContext takes Python's futures as it is
  });
  pyodide.registerJsModule("_cloudflare_compat_flags", COMPAT_FLAGS);
  pyodide.registerJsModule("_harness", { schedule, violateWake, allowEntropy });
  await pyodide._api.initializeNodeSockFS(connect);
  pyodide.mountNodeFS("/harness", OWN_PYTHON);
  pyodide.mountNodeFS(BUNDLE, bundle);
  pyodide.FS.writeFile("/tmp/.keep", "");
  const base = pyodide._api.pyodide_base;
  pyodide.runPython(`import sys; sys.path.insert(0, "/harness")`);
  const python = await base.pyimport_impl.callPromising("harness_runtime");
  python.set_up(BUNDLE);
  return { pyodide, python };
}

/** Bytes of WebAssembly's memory, which never shrinks. */
export const heapBytes = (pyodide) => pyodide._module.HEAPU8.length;

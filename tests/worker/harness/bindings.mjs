// `env` of a service: its settings as text, and the bindings that wrangler.jsonc would name.

import { requireRequest } from "./contexts.mjs";

class Hyperdrive {
  constructor(url) {
    const parts = new URL(url);
    this.connectionString = url;
    this.host = parts.hostname;
    this.port = Number(parts.port || 5432);
    this.user = decodeURIComponent(parts.username);
    this.password = decodeURIComponent(parts.password);
    this.database = decodeURIComponent(parts.pathname.slice(1));
  }
}

// The name is what workerd's binding is known by to the SDK.
class Ratelimit {
  #limit;
  #periodMs;
  #rates;
  #windows = new Map();

  constructor(rates, { limit, periodS }) {
    this.#rates = rates;
    this.#limit = limit;
    this.#periodMs = periodS * 1000;
  }

  async limit({ key } = {}) {
    const owner = requireRequest("fetches", "a rate-limit binding");
    if (typeof key !== "string") throw new TypeError("a rate limit needs a key");
    this.#rates.calls += 1;
    if (this.#rates.fault === "hang") return owner.deliver(new Promise(() => {}));
    if (this.#rates.fault === "error") throw new Error("the rate limiter failed");
    const window = Math.floor((Date.now() + this.#rates.shiftMs) / this.#periodMs);
    const before = this.#windows.get(key);
    const used = before?.window === window ? before.used + 1 : 1;
    this.#windows.set(key, { window, used });
    return owner.deliver(Promise.resolve({ success: used <= this.#limit }));
  }
}

/** `limits` is {"LIMIT_STAKE_CREATE": {"limit": 10, "periodS": 60}}; `rates` says how they fare. */
export function makeEnv({ settings, hyperdrive, limits }, rates) {
  const env = { ...settings };
  if (hyperdrive) env.HYPERDRIVE = new Hyperdrive(hyperdrive);
  for (const [name, rate] of Object.entries(limits ?? {})) env[name] = new Ratelimit(rates, rate);
  return env;
}

// `cloudflare:sockets` on Node's sockets. A socket belongs to the request that connected it.

import net from "node:net";

import { requireRequest } from "./contexts.mjs";

const BUFFERED_MAX_BYTES = 1 << 20;

export function connect(address, options = {}) {
  const { hostname, port } = typeof address === "string" ? parse(address) : address;
  const owner = requireRequest("sockets", `connect to port ${port}`);
  owner.report.socketsOpened += 1;
  if (options.secureTransport === "on") throw new Error("the harness has no TLS for sockets");
  return new Socket(owner, hostname, Number(port));
}

function parse(address) {
  const { hostname, port } = new URL(`tcp://${address}`);
  return { hostname, port };
}

class Socket {
  #owner;
  #node = null;
  #chunks = [];
  #reading = null;
  #done = false;
  #error = null;
  #giveBack = () => {};

  constructor(owner, hostname, port) {
    this.#owner = owner;
    owner.resources.add({ close: () => this.#destroy() });
    owner.connections.sockets.add(this);
    let closed;
    this.closed = new Promise((resolve) => (closed = resolve));
    this.#finish = () => {
      this.#done = true;
      this.#wake();
      owner.connections.sockets.delete(this);
      this.#giveBack();
      closed();
    };
    this.opened = owner.deliver(this.#open(hostname, port));
    this.opened.catch(() => {});
    this.readable = { getReader: () => this.#reader() };
    this.writable = { getWriter: () => this.#writer() };
  }

  #finish;

  async #open(hostname, port) {
    this.#giveBack = await this.#owner.connections.take();
    if (this.#done) throw new Error("the socket was closed");
    const node = (this.#node = net.connect({ host: hostname, port, noDelay: true }));
    node.on("data", (chunk) => {
      // Not as Node's Buffer, a kind of array that Pyodide does not know.
      this.#chunks.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      if (node.readableFlowing && this.#buffered() > BUFFERED_MAX_BYTES) node.pause();
      this.#wake();
    });
    node.on("error", (error) => (this.#error = error));
    node.on("end", () => {
      this.#done = true;
      this.#wake();
    });
    node.on("close", () => this.#finish());
    await new Promise((resolve, reject) => {
      node.once("connect", resolve);
      node.once("close", () => reject(this.#error ?? new Error("the socket was closed")));
    });
    return { remoteAddress: `${hostname}:${port}` };
  }

  #buffered() {
    return this.#chunks.reduce((total, chunk) => total + chunk.length, 0);
  }

  #wake() {
    this.#reading?.();
    this.#reading = null;
  }

  #reader() {
    return {
      read: async () => {
        this.#owner.check("socket");
        if (this.#chunks.length === 0 && !this.#done) {
          await this.#owner.deliver(new Promise((resolve) => (this.#reading = resolve)));
        }
        const value = this.#chunks.shift();
        if (value !== undefined && this.#chunks.length === 0) this.#node.resume();
        if (value === undefined && this.#error) throw this.#error;
        return { value, done: value === undefined };
      },
      releaseLock() {},
    };
  }

  #writer() {
    return {
      write: async (chunk) => {
        this.#owner.check("socket");
        // A copy: the bytes are WebAssembly's, which go on to be used.
        const bytes = Buffer.from(chunk);
        const written = new Promise((resolve, reject) =>
          this.#node.write(bytes, (error) => (error ? reject(error) : resolve())),
        );
        await this.#owner.deliver(written);
      },
      releaseLock() {},
    };
  }

  startTls() {
    throw new Error("the harness has no TLS for sockets");
  }

  /** Ends the connection. What Python's collector closes after the request's end is closed already. */
  async close() {
    if (this.#done && !this.#node) return;
    if (!this.#owner.isEnded) this.#owner.check("socket");
    this.#owner.connections.sockets.delete(this);
    if (this.#node) this.#node.end();
    else this.#finish();
  }

  #destroy() {
    if (this.#node) this.#node.destroy();
    else this.#finish();
  }
}

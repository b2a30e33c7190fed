// HTTP as Cloudflare's edge brings it to a worker: a real Request in, the Response out.

import http from "node:http";
import { Readable } from "node:stream";

const CLIENT_ADDRESS_HEADER = "x-harness-client";
const HEADERS_MAX_BYTES = 128 * 1024;
const WITHOUT_BODY = new Set([101, 204, 205, 304]);
// A Request cannot be made with these, but the edge passes on what it is asked.
const UNMADE_METHODS = new Set(["TRACE", "CONNECT"]);

/** Listen on loopback and hand each request to `handle(request, exchange)`. Resolves to the server. */
export async function listen(handle) {
  const server = http.createServer({ maxHeaderSize: HEADERS_MAX_BYTES, keepAlive: true, noDelay: true });
  server.on("request", (incoming, outgoing) => {
    let request;
    try {
      request = toRequest(incoming);
    } catch {
      outgoing.writeHead(400).end();
      return;
    }
    handle(request, outgoing);
  });
  server.on("clientError", (error, socket) => {
    const status = error.code === "HPE_INVALID_METHOD" ? "501 Not Implemented" : "400 Bad Request";
    if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  return server;
}

function toRequest(incoming) {
  const raw = incoming.url.startsWith("/") ? `http://${incoming.headers.host ?? "localhost"}${incoming.url}` : incoming.url;
  const url = new URL(raw);
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    headers.append(incoming.rawHeaders[i], incoming.rawHeaders[i + 1]);
  }
  const address = headers.get(CLIENT_ADDRESS_HEADER) ?? incoming.socket.remoteAddress;
  headers.delete(CLIENT_ADDRESS_HEADER);
  headers.delete("connection");
  headers.delete("keep-alive");
  headers.set("cf-connecting-ip", address);
  headers.append("x-forwarded-for", address);
  headers.set("x-forwarded-proto", url.protocol.slice(0, -1));
  headers.set("cf-ray", `${Date.now().toString(16).padStart(16, "0")}-XXX`);
  const { method } = incoming;
  const hasBody = "transfer-encoding" in incoming.headers || Number(incoming.headers["content-length"] ?? 0) > 0;
  const withBody = hasBody && !["GET", "HEAD"].includes(method) && !UNMADE_METHODS.has(method);
  const request = new Request(url, {
    method: UNMADE_METHODS.has(method) ? "POST" : method,
    headers,
    ...(withBody && { body: toBody(incoming), duplex: "half" }),
  });
  if (!withBody) incoming.resume();
  if (UNMADE_METHODS.has(method)) Object.defineProperty(request, "method", { value: method });
  Object.defineProperty(request, "cf", { value: { colo: "XXX", country: "XX", httpProtocol: "HTTP/1.1" } });
  return request;
}

// Chunks are plain arrays: Pyodide does not know Node's Buffer.
function toBody(incoming) {
  const plain = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
  return Readable.toWeb(incoming).pipeThrough(
    new TransformStream({ transform: (chunk, controller) => controller.enqueue(plain(chunk)) }),
  );
}

/** Send a Response. Resolves to whether all of it was sent. */
export async function send(response, request, outgoing) {
  const headers = [...response.headers].flat();
  const bodiless = request.method === "HEAD" || WITHOUT_BODY.has(response.status);
  if (response.body === null && !bodiless && !response.headers.has("content-length")) {
    headers.push("content-length", "0");
  }
  const sent = new Promise((resolve) => {
    outgoing.once("finish", () => resolve(true)).once("close", () => resolve(outgoing.writableFinished));
  });
  outgoing.writeHead(response.status, headers);
  if (!bodiless && response.body !== null) await sendBody(response.body.getReader(), outgoing);
  outgoing.end();
  return sent;
}

async function sendBody(reader, outgoing) {
  // A client that has gone takes nothing more: the worker's next write fails.
  const gone = new Error("the client has gone");
  outgoing.once("close", () => outgoing.writableFinished || reader.cancel(gone).catch(() => {}));
  while (!outgoing.destroyed) {
    const { done, value } = await reader.read();
    if (done) return;
    if (!outgoing.write(value)) {
      await new Promise((resolve) => outgoing.once("drain", resolve).once("close", resolve));
    }
  }
}

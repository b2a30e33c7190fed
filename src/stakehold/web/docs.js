// Shows /openapi.json: every operation with what it takes and answers, a form to try it, every problem.
// Text from the document or an answer is only ever set as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const JSON_TYPE = "application/json";
const PROBLEM_TYPE = "application/problem+json";

let spec;

/** An element with properties and children; strings become text. */
function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Text in which `…` becomes code, and line ends stay. */
function prose(text) {
  const paragraph = el("p");
  text.replaceAll("\n\n", "\n").split("`").forEach((part, index) => {
    if (index % 2) paragraph.append(el("code", {}, part));
    else part.split("\n").forEach((line, row) => paragraph.append(...(row ? [el("br"), line] : [line])));
  });
  return paragraph;
}

function resolve(value) {
  let found = value;
  while (found && found.$ref) {
    found = found.$ref.slice(2).split("/").reduce((node, key) => node[key], spec);
  }
  return found;
}

function pretty(value) {
  return JSON.stringify(value, null, 2);
}

function operations() {
  return Object.entries(spec.paths).flatMap(([path, item]) =>
    Object.keys(item).filter((key) => METHODS.includes(key)).map((method) => ({ path, method, ...item[method] })));
}

// What a schema says, in words

function typeOf(schema) {
  const resolved = resolve(schema);
  const choices = resolved.anyOf || resolved.oneOf;
  if (choices) return choices.map(typeOf).join(" or ");
  if (resolved.type === "array") return `list of ${typeOf(resolved.items)}`;
  if (resolved.enum) return resolved.enum.map((value) => JSON.stringify(value)).join(" or ");
  if ("const" in resolved) return JSON.stringify(resolved.const);
  return resolved.type ? `${resolved.type}${resolved.format ? ` (${resolved.format})` : ""}` : "any";
}

function between(low, high, unit = "") {
  if (low === undefined && high === undefined) return "";
  if (high === undefined) return `at least ${low}${unit}`;
  return low === undefined ? `at most ${high}${unit}` : `${low} to ${high}${unit}`;
}

function boundsOf(schema) {
  const one = resolve(schema);
  return [
    between(one.minimum, one.maximum),
    "exclusiveMinimum" in one ? `more than ${one.exclusiveMinimum}` : "",
    between(one.minLength, one.maxLength, " characters"),
    one.pattern ? `matches \`${one.pattern}\`` : "",
    "default" in one ? `default ${JSON.stringify(one.default)}` : "",
    ...(one.anyOf || one.oneOf || []).map(boundsOf),
  ].filter(Boolean).join("; ");
}

/** What a member or parameter is, with its bounds. */
function meaning(description, schema) {
  const bounds = boundsOf(schema);
  return prose([description, bounds ? `${bounds[0].toUpperCase()}${bounds.slice(1)}.` : ""].filter(Boolean).join(" "));
}

/** One row a member; members of members below, with dotted names. */
function members(schema, prefix = "") {
  const resolved = resolve(schema);
  if (resolved.type === "array") return members(resolved.items, `${prefix.slice(0, -1)}[].`);
  return Object.entries(resolved.properties || {}).flatMap(([name, member]) => [
    { name: prefix + name, required: (resolved.required || []).includes(name), schema: member,
      description: member.description || "" },
    ...members(member, `${prefix}${name}.`),
  ]);
}

function table(headings, rows) {
  const head = el("tr", {}, ...headings.map((heading) => el("th", { scope: "col" }, heading)));
  const body = rows.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, cell))));
  return el("div", { className: "scroll" },
    el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
}

function memberTable(rows, headings) {
  return table(headings, rows.map((row) => [
    el("code", {}, row.name),
    typeOf(row.schema) + (row.required ? "" : ", optional"),
    meaning(row.description, row.schema),
  ]));
}

function schemaBlock(media, headings) {
  const { schema, example } = media;
  const parts = [];
  const description = resolve(schema).description;
  if (description) parts.push(prose(description));
  const rows = members(schema);
  if (rows.length) parts.push(memberTable(rows, headings));
  if (example !== undefined) parts.push(el("pre", { tabIndex: 0, ariaLabel: "Example" }, pretty(example)));
  return parts;
}

// Operations

function operationArticle(operation) {
  const { path, method, operationId: id } = operation;
  const parts = [
    el("h3", {},
      el("span", { className: "method" }, method.toUpperCase()),
      el("span", { className: "path" }, path),
      operation.security.length ? el("span", { className: "lock" }, "needs an access token") : null),
    el("p", {}, operation.summary + "."),
  ];
  const limits = operation["x-rate-limits"];
  if (limits) parts.push(el("p", { className: "muted" }, `Rate limits: ${limits.join(", ")}.`));
  const parameters = operation.parameters.map(resolve);
  if (parameters.length) {
    parts.push(el("h4", {}, "Parameters"), table(["Name", "In", "Type", "What"], parameters.map((parameter) => [
      el("code", {}, parameter.name),
      parameter.in + (parameter.required ? "" : ", optional"),
      typeOf(parameter.schema),
      meaning(parameter.description, parameter.schema),
    ])));
  }
  if (operation.requestBody) {
    parts.push(el("h4", {}, operation.requestBody.required ? "Body" : "Body (optional)"),
      ...schemaBlock(operation.requestBody.content[JSON_TYPE], ["Field", "Type", "What"]));
  }
  parts.push(...answers(operation), tryIt(operation, parameters));
  return el("article", { id, tabIndex: -1, ariaLabel: `${method.toUpperCase()} ${path}` }, ...parts);
}

function answers(operation) {
  const all = Object.entries(operation.responses).map(([status, response]) => ({ status, ...response }));
  const isProblem = (response) => Boolean(response.content && response.content[PROBLEM_TYPE]);
  const parts = [el("h4", {}, "Answers")];
  for (const response of all.filter((one) => !isProblem(one))) {
    const media = response.content && response.content[JSON_TYPE];
    const named = Object.keys(response.headers).filter((name) => !/^(X-Request-Id|RateLimit)/.test(name));
    const line = el("p", {}, el("strong", {}, response.status), ` ${response.description}`);
    if (named.length) line.append(" Headers: ", ...list(named.map((name) => el("code", {}, name))), ".");
    parts.push(line, ...(media ? schemaBlock(media, ["Member", "Type", "What"]) : []));
  }
  const rows = all.filter(isProblem).flatMap((response) =>
    Object.keys(response.content[PROBLEM_TYPE].examples).map((code) =>
      [response.status, el("a", { href: `#${code}` }, el("code", {}, code)), problem(code).title]));
  parts.push(el("details", {}, el("summary", {}, `Problems (${rows.length})`),
    table(["Status", "Code", "Title"], rows)));
  return parts;
}

/** The nodes with commas between them. */
function list(nodes) {
  return nodes.flatMap((node, index) => (index ? [", ", node] : [node]));
}

function problem(code) {
  return spec["x-problems"].find((one) => one.code === code);
}

function problemArticle(kind) {
  const example = resolve(spec.components.examples[kind.code]);
  return el("article", { id: kind.code, tabIndex: -1, ariaLabel: kind.code },
    el("h3", {}, el("span", { className: "method" }, String(kind.status)), el("span", { className: "path" }, kind.code)),
    prose(`${kind.title}. ${kind.summary}`),
    el("p", { className: "muted" }, "type: ", el("code", {}, kind.type)),
    example
      ? el("details", {}, el("summary", {}, "Example"), el("pre", { tabIndex: 0 }, pretty(example.value)))
      : null);
}

// Trying a call

function tryIt(operation, parameters) {
  const fields = el("div", { className: "fields" });
  const inputs = parameters.map((parameter) => {
    const id = `${operation.operationId}-${parameter.name}`;
    const input = el("input", { id, autocomplete: "off", spellcheck: false, required: Boolean(parameter.required) });
    fields.append(el("label", { htmlFor: id }, parameter.name), input);
    return { parameter, input };
  });
  let body = null;
  if (operation.requestBody) {
    const id = `${operation.operationId}-body`;
    body = el("textarea", { id, spellcheck: false, autocomplete: "off" });
    body.value = pretty(operation.requestBody.content[JSON_TYPE].example);
    fields.append(el("label", { htmlFor: id }, "Body"), body);
  }
  const send = el("button", { type: "submit" }, "Send");
  // The status alone is announced: a screen reader should not read out a whole answer unasked.
  const output = { status: el("p", { className: "status", role: "status" }), rest: el("div") };
  const form = el("form", {}, fields, send, output.status, output.rest);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(operation, inputs, body, send, output);
  });
  return el("details", { className: "try" }, el("summary", {}, "Try it"), form);
}

async function run(operation, inputs, body, send, output) {
  let url = operation.path;
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (parameter.in === "query") query.set(parameter.name, input.value);
    else headers.set(parameter.name, input.value);
  }
  if (query.toString()) url += `?${query}`;
  const token = document.getElementById("token").value;
  if (operation.security.length && token) headers.set("Authorization", `Bearer ${token}`);
  if (body && body.value.trim()) headers.set("Content-Type", JSON_TYPE);
  send.disabled = true;
  const started = performance.now();
  try {
    const response = await fetch(url, {
      method: operation.method.toUpperCase(), headers, cache: "no-store", credentials: "omit",
      body: body && body.value.trim() ? body.value : undefined,
    });
    const text = await response.text();
    showAnswer(output, response, text, Math.round(performance.now() - started));
  } catch (error) {
    showStatus(output, false, `No answer: ${error.message}`);
    output.rest.replaceChildren();
  } finally {
    send.disabled = false;
  }
}

function showStatus(output, good, text) {
  output.status.className = `status ${good ? "good" : "bad"}`;
  output.status.textContent = text;
}

function showAnswer(output, response, text, tookMs) {
  let shown = text;
  if (/json/.test(response.headers.get("Content-Type") || "")) {
    try {
      const content = JSON.parse(text);
      shown = pretty(content);
      if (response.ok && typeof content.token === "string") setToken(content.token);
    } catch {
      // Shown as it came.
    }
  }
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  showStatus(output, response.ok || response.status === 304,
    `${response.status} ${response.statusText} · ${tookMs} ms`);
  output.rest.replaceChildren(
    shown ? el("pre", { tabIndex: 0, ariaLabel: "Answer" }, shown) : el("p", { className: "muted" }, "No body."),
    el("details", {}, el("summary", {}, "Headers"), el("pre", { tabIndex: 0 }, headers)));
}

function setToken(token) {
  document.getElementById("token").value = token;
  document.getElementById("forget").disabled = !token;
}

// The page

function contents() {
  const group = (title, links) => [
    el("h2", {}, title),
    el("ul", {}, ...links.map(([href, text]) => el("li", {}, el("a", { href }, text)))),
  ];
  const parts = spec.tags.flatMap(({ name }) => group(name, operations()
    .filter((operation) => operation.tags.includes(name))
    .map((operation) => [`#${operation.operationId}`, operation.summary])));
  return [...parts, ...group("Problems", [["#problems", "All problems, by code"]])];
}

function page() {
  const parts = [el("h1", {}, spec.info.title), ...spec.info.description.split("\n\n").map(prose)];
  for (const { name, description } of spec.tags) {
    parts.push(el("h2", { id: `tag-${name}` }, name[0].toUpperCase() + name.slice(1)), prose(description),
      ...operations().filter((operation) => operation.tags.includes(name)).map(operationArticle));
  }
  const schema = spec.components.schemas.Problem;
  parts.push(el("h2", { id: "problems" }, "Problems"), prose(schema.description),
    memberTable(members(schema), ["Member", "Type", "What"]), ...spec["x-problems"].map(problemArticle));
  return parts;
}

/** The place that the address names did not exist when the browser looked for it. */
function goToFragment() {
  const { hash } = location;
  if (!hash) return;
  history.replaceState(null, "", location.pathname);
  location.hash = hash;
}

async function start() {
  const token = document.getElementById("token");
  token.addEventListener("input", () => setToken(token.value));
  document.getElementById("forget").addEventListener("click", () => setToken(""));
  document.getElementById("session").addEventListener("submit", (event) => event.preventDefault());
  const main = document.getElementById("main");
  try {
    const response = await fetch("/openapi.json");
    if (!response.ok) throw new Error(`status ${response.status}`);
    spec = await response.json();
  } catch (error) {
    main.replaceChildren(el("p", { role: "alert", className: "bad" }, `Could not read /openapi.json: ${error.message}`));
    return;
  }
  document.getElementById("version").textContent = spec.info.version;
  document.getElementById("contents").replaceChildren(...contents());
  main.replaceChildren(...page());
  goToFragment();
}

start();

// How the values of an event are shown: what is a raw address, what is a hash, where identity stands.

const HASH = /^(?:[\w.-]{1,24}:)?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})$/i;
const E_MAIL = /[^\s@]+@[^\s@]+/;

// Ids that look like hashes and say nothing of a person.
const EVENT_IDS = new Set(["request_id", "event_id", "sid", "session_id"]);

export function kindOf(name, value) {
  if (value === null || value === undefined || value === "") return "none";
  if (EVENT_IDS.has(name)) return "plain";
  const text = String(value);
  if (HASH.test(text)) return "hash";
  if (E_MAIL.test(text) || name === "email" || name === "phone") return "raw";
  return "plain";
}

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function valueNode(name, value) {
  const kind = kindOf(name, value);
  const text = kind === "none" ? "empty" : String(value);
  const isLong = kind === "hash" && text.length > 40;
  return element("span", { class: `value ${kind}${isLong ? " long" : ""}`, title: isLong ? text : null }, text);
}

function asObject(value) {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

// An event's fields out of query and body, as the wire allows both.
export function eventFields(query, body) {
  const fields = { ...query };
  for (const name of ["items", "dims", "extra", "context"]) {
    if (name in fields) fields[name] = asObject(fields[name]);
  }
  return body && typeof body === "object" && !Array.isArray(body) ? { ...fields, ...body } : fields;
}

export function customerOf(fields) {
  const parts = Array.isArray(fields.dims) ? fields.dims : [fields.dims];
  for (const part of parts) {
    if (part?.type === "customers") return part;
    if (part?.customers && typeof part.customers === "object") return part.customers;
  }
  return null;
}

export function cidOf(fields) {
  return String(fields.cid || customerOf(fields)?.customer_id || "");
}

// The identity of an event as [name, value] pairs, the same names on both sides of the gateway.
export function identityOf(fields) {
  const pairs = [["uid", fields.uid], ["cid", cidOf(fields)]];
  const customer = customerOf(fields) ?? {};
  for (const [name, value] of Object.entries(customer)) {
    if (name !== "customer_id" && name !== "type" && typeof value !== "object") pairs.push([name, value]);
  }
  return pairs;
}

export function fieldList(pairs) {
  const list = element("dl", { class: "fields" });
  for (const [name, value] of pairs) {
    list.append(element("dt", {}, name), element("dd", {}, valueNode(name, value)));
  }
  return list;
}

// JSON as people read it, with raw addresses and hashes marked.
export function jsonNodes(value, name = "", indent = "") {
  if (value === null || typeof value !== "object") {
    const kind = typeof value === "string" ? kindOf(name, value) : "plain";
    return [kind === "raw" || kind === "hash"
      ? element("span", { class: `value ${kind}` }, JSON.stringify(value))
      : JSON.stringify(value) ?? "null"];
  }
  const isArray = Array.isArray(value);
  const entries = Object.entries(value);
  if (entries.length === 0) return [isArray ? "[]" : "{}"];
  const inner = `${indent}  `;
  const nodes = [isArray ? "[" : "{"];
  entries.forEach(([key, part], index) => {
    nodes.push(`${index ? "," : ""}\n${inner}${isArray ? "" : `${JSON.stringify(key)}: `}`);
    nodes.push(...jsonNodes(part, isArray ? name : key, inner));
  });
  nodes.push(`\n${indent}${isArray ? "]" : "}"}`);
  return nodes;
}

// A disclosure that writes its JSON when it is first opened.
export function jsonDetails(label, value) {
  const details = element("details", { class: "json" }, element("summary", {}, label));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(element("pre", {}, ...jsonNodes(value)));
  });
  return details;
}

export function clockTime(moment) {
  return new Date(moment).toLocaleTimeString("en-GB", { hour12: false });
}

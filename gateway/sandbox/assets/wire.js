// The two sides of the gateway, row by row: what `wiretap.js` saw leave, what the collector says arrived.

import { cidOf, clockTime, customerOf, element, eventFields, fieldList, identityOf, jsonDetails } from "./values.js";

const COLLECTOR = document.body.dataset.collector;
const POLL_MS = 500;
const MAX_ROWS = 100;
const LATE_AFTER_MS = 5000;

const REASONS = {
  cid_conflict: "This device already belongs to another customer, and a CID never changes. The event waits for a person.",
  cid_contradiction: "The event names two customers at once. It waits for a person.",
  consent_denied: "The visitor has not agreed, and must have: kept nowhere.",
  unknown_property: "The gateway does not serve this portal and property.",
};

const RESOLVED = {
  anonymised: "The visitor has not agreed: sent on as nobody's.",
  new_uid: "This device belonged to another customer: sent on under a new UID, which is the visitor's from now on.",
  identity_stripped: "This device belongs to another customer: sent on without any identity.",
};

const sentList = document.getElementById("sent-rows");
const receivedList = document.getElementById("received-rows");
const quiet = document.getElementById("quiet");
const collectorState = document.getElementById("collector-state");

const rows = []; // newest last
const unclaimed = []; // arrived events whose row is not known yet
const cidOfUid = new Map();

function keyOf(query, fields) {
  return query.request_id || fields.request_id || "";
}

// Where a client gives its events no request id, they are known by what they say.
function likeness(fields) {
  return [fields.ec, fields.ea, fields.et, fields.sid].join("|");
}

function part(side, row, fields, at, ...content) {
  const title = element("h3", {}, element("span", {}, `${fields.ec ?? "?"} / ${fields.ea ?? "?"}`));
  if (at) title.append(element("time", {}, clockTime(at)));
  const isAnonymous = !customerOf(fields) && !cidOf(fields);
  const node = element(
    "li",
    { class: `part ${side} fresh${isAnonymous ? " anonymous" : ""}`, "data-request-id": row.key, "data-event": `${fields.ec}/${fields.ea}` },
    title,
    ...content,
  );
  return node;
}

function number() {
  rows.forEach((row, index) => {
    for (const node of [row.sentNode, row.receivedNode]) node.style.setProperty("--row", rows.length - index);
  });
}

function addRow(note) {
  const fields = eventFields(note.query, note.body);
  const key = keyOf(note.query, fields);
  const again = key && rows.find((candidate) => candidate.key === key);
  if (again) {
    // The script retries under the same request id: one event, however often it was sent.
    again.id = note.id;
    return;
  }
  const row = { key, aliases: new Set(), fields, at: note.at, id: note.id, isSettled: false };
  row.sentNode = part("sent", row, fields, note.at, fieldList(identityOf(fields)),
    jsonDetails(`${note.method} · full event`, { query: note.query, body: note.body }));
  row.receivedNode = element("li", {});
  showWaiting(row, "on its way");
  rows.push(row);
  if (rows.length > MAX_ROWS) {
    const old = rows.shift();
    old.sentNode.remove();
    old.receivedNode.remove();
  }
  sentList.prepend(row.sentNode);
  receivedList.prepend(row.receivedNode);
  if (customerOf(fields)) quiet.hidden = true;
  number();
  claimArrived();
}

function replaceReceived(row, node) {
  const rowNumber = row.receivedNode.style.getPropertyValue("--row");
  node.style.setProperty("--row", rowNumber);
  row.receivedNode.replaceWith(node);
  row.receivedNode = node;
}

function showWaiting(row, text) {
  const node = part("received waiting", row, row.fields, null, element("p", { class: "soft small" }, text));
  replaceReceived(row, node);
}

function showHeld(row, outcome, reason) {
  row.isSettled = true;
  const verb = outcome === "quarantined" ? "held" : outcome;
  const node = part("received held", row, row.fields, null,
    element("p", { class: "verdict" }, `${verb} by the gateway: ${reason}`),
    element("p", { class: "small" }, REASONS[reason] ?? "The collector never sees it."));
  node.dataset.outcome = outcome;
  node.dataset.reason = reason;
  replaceReceived(row, node);
}

function showReceived(row, event, fields) {
  row.isSettled = true;
  const node = part("received", row, fields, event.received_at, fieldList(identityOf(fields)),
    jsonDetails("full event", { query: event.query, body: event.body, headers: event.headers }));
  node.dataset.outcome = "delivered";
  replaceReceived(row, node);
  showResolution(row);
}

function showResolution(row) {
  if (!RESOLVED[row.reason] || row.receivedNode.dataset.reason) return;
  row.receivedNode.dataset.reason = row.reason;
  row.receivedNode.querySelector("h3").after(
    element("p", { class: "verdict" }, `resolved by the gateway: ${row.reason}`),
    element("p", { class: "small" }, RESOLVED[row.reason]));
}

function noteAnswer(note) {
  const row = rows.find((candidate) => candidate.id === note.id);
  if (!row) return;
  const { outcome, reason, event_id: eventId, request_id: requestId } = note.body ?? {};
  row.reason = reason;
  if (row.isSettled) {
    showResolution(row);
    return;
  }
  for (const alias of [eventId, requestId]) if (alias) row.aliases.add(String(alias));
  if (outcome && outcome !== "accepted" && outcome !== "delivered") showHeld(row, outcome, reason ?? "no reason given");
  else if (note.status === 0) showWaiting(row, "the gateway could not be reached");
  else if (note.status >= 400) showWaiting(row, `the gateway answered ${note.status}`);
  else showWaiting(row, "accepted by the gateway, on its way");
  claimArrived();
}

function claimArrived() {
  for (let index = unclaimed.length - 1; index >= 0; index -= 1) {
    const { event, fields } = unclaimed[index];
    const key = keyOf(event.query, fields);
    const row = rows.find((candidate) => !candidate.isSettled && (key && (candidate.key === key || candidate.aliases.has(key))))
      ?? rows.find((candidate) => !candidate.isSettled && !candidate.key && likeness(candidate.fields) === likeness(fields));
    if (row) {
      unclaimed.splice(index, 1);
      showReceived(row, event, fields);
    }
  }
  unclaimed.splice(0, Math.max(0, unclaimed.length - 500));
}

function currentUid() {
  const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("_asm_uid="));
  if (cookie) return decodeURIComponent(cookie.slice("_asm_uid=".length));
  try {
    return localStorage.getItem("_asm_uid") ?? "";
  } catch {
    return "";
  }
}

function setText(id, text, state) {
  const node = document.getElementById(id);
  node.classList.toggle("is-hash", state === "hash");
  node.classList.toggle("is-bad", state === "bad");
  if (node.textContent === text) return;
  node.textContent = text;
  node.title = text;
  node.classList.remove("changed");
  requestAnimationFrame(() => node.classList.add("changed"));
}

function showIdentity() {
  const uid = currentUid();
  setText("uid", uid || "none yet");
  const cid = cidOfUid.get(uid);
  setText("cid", cid ?? "anonymous", cid ? "hash" : "");
  const isLoaded = typeof window.web_event.resetAnonymousUId === "function";
  const { scriptFailed } = window.wiretap;
  setText("script-state", isLoaded ? "loaded" : scriptFailed ? "unreachable" : "loading", scriptFailed && !isLoaded ? "bad" : "");
}

let next = null; // the index to ask for; null until the first answer

async function poll() {
  const asked = next === null ? "limit=200" : `since=${next}&limit=1000`;
  const response = await fetch(`${COLLECTOR}/events?${asked}`, { cache: "no-store" });
  if (!response.ok) throw new Error(`the collector answered ${response.status}`);
  const total = Number(response.headers.get("X-Total-Count"));
  if (next !== null && total < next) {
    next = null; // the collector was reset
    cidOfUid.clear();
    return;
  }
  const events = await response.json();
  for (const event of events) {
    const fields = eventFields(event.query, event.body);
    const cid = cidOf(fields);
    if (cid && fields.uid) cidOfUid.set(String(fields.uid), cid);
    if (!event.duplicate) unclaimed.push({ event, fields });
  }
  next = events.length ? events.at(-1).index + 1 : total;
  claimArrived();
}

function showLate() {
  for (const row of rows) {
    if (!row.isSettled && !row.isLate && Date.now() - row.at > LATE_AFTER_MS) {
      row.isLate = true;
      row.receivedNode.querySelector("p").append(" · not at the collector yet");
    }
  }
}

async function pollForEver() {
  for (;;) {
    try {
      await poll();
      collectorState.textContent = "hashed, after the gateway";
    } catch {
      collectorState.textContent = "the collector can't be reached";
    }
    showLate();
    showIdentity();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

window.wiretap.listen((note) => (note.kind === "sent" ? addRow(note) : noteAnswer(note)));
pollForEver();

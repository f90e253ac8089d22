// The collector's page: asks for the totals, and for the rest only when something came in.

import { clockTime, element, eventFields, fieldList, identityOf, jsonDetails, valueNode } from "./values.js";

const POLL_MS = 700;
const SHOWN_EVENTS = 60;
const SHOWN_PROFILES = 40;
const SHOWN_HISTORY = 24;

const MODES = [
  { label: "healthy", behaviour: {}, text: "Takes every event at once." },
  { label: "slow", behaviour: { latency_ms: 2000 }, text: "Takes two seconds for each answer." },
  { label: "503", behaviour: { status: 503, retry_after: 2 }, text: "Refuses every event with 503 and Retry-After: 2." },
  { label: "down", behaviour: { down: true }, text: "Closes every connection without an answer." },
  { label: "cut answers", behaviour: { reset_body: true }, text: "Keeps the event, then breaks off the answer: retries become duplicates." },
];

const at = (id) => document.getElementById(id);
const openDetails = new Set();

async function getJson(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

// Redrawing must not close what somebody reads.
function lasting(id, details) {
  details.addEventListener("toggle", () => (details.open ? openDetails.add(id) : openDetails.delete(id)));
  if (openDetails.has(id)) details.open = true;
  return details;
}

function profileNode(profile) {
  const isCustomer = profile.kind === "customer";
  const count = `${profile.event_count} event${profile.event_count === 1 ? "" : "s"}`;
  const title = element("h3", {},
    isCustomer ? "Customer" : "Stranger",
    element("small", {}, `${count} · ${clockTime(profile.first_seen)} – ${clockTime(profile.last_seen)}`));
  const pairs = [];
  if (isCustomer) pairs.push(["cid", profile.customer_id]);
  pairs.push(["portal", profile.portal_id]);
  pairs.push(...Object.entries(profile.traits).filter(([, value]) => typeof value !== "object"));
  const fields = fieldList(pairs);
  const uids = profile.uids.slice(0, 12);
  const uidCell = element("dd", {});
  uids.forEach((uid, index) => uidCell.append(index ? ", " : "", valueNode("uid", uid)));
  if (profile.uids.length > uids.length) uidCell.append(` and ${profile.uids.length - uids.length} more`);
  fields.append(element("dt", {}, profile.uids.length > 1 ? "uids" : "uid"), uidCell);
  const node = element("li", { class: profile.kind, "data-cid": profile.customer_id }, title, fields);
  if (profile.uids.length > 1) {
    node.append(element("p", { class: "merged" }, `${profile.uids.length} anonymous histories merged into one customer`));
  }
  const history = element("ol", { class: "history", "aria-label": "History, oldest first" });
  const hidden = profile.event_count - profile.events.length;
  if (hidden > 0) history.append(element("li", { class: "more" }, `${hidden} earlier`));
  for (const event of profile.events) {
    history.append(element("li", { title: `${event.received_at} · ${event.event_id}` }, `${event.ec}/${event.ea}`));
  }
  node.append(history);
  return node;
}

function eventNode(event) {
  const fields = eventFields(event.query, event.body);
  const title = element("h3", {}, element("span", {}, `${fields.ec ?? "?"} / ${fields.ea ?? "?"}`));
  if (event.duplicate) title.append(element("span", { class: "tag" }, "duplicate"));
  title.append(element("time", {}, clockTime(event.received_at)));
  const details = jsonDetails("full event", { query: event.query, body: event.body, headers: event.headers });
  return element("li", { class: event.duplicate ? "duplicate" : "" }, title, fieldList(identityOf(fields)), lasting(`${event.received_at}-${event.index}`, details));
}

function violationNode(violation) {
  const text = violation.kind === "cid_changed" ? "belongs to" : "was said to be, at once,";
  const other = violation.kind === "cid_changed" ? "but an event claimed" : "and";
  return element("li", {}, "UID ", valueNode("uid", violation.uid), ` ${text} `, valueNode("cid", violation.held_cid),
    ` ${other} `, valueNode("cid", violation.claimed_cid), element("span", { class: "soft" }, ` · ${violation.event_id} · ${clockTime(violation.received_at)}`));
}

function showTotals(totals) {
  at("total").textContent = totals.total;
  at("duplicates").textContent = totals.duplicates;
  at("refused").textContent = totals.refused;
}

function showProfiles(answer) {
  at("customers").textContent = answer.customer_count;
  at("strangers").textContent = answer.anonymous_count;
  at("violations").textContent = answer.violations.length;
  at("violation-total").classList.toggle("bad", answer.violations.length > 0);
  at("alarm").hidden = answer.violations.length === 0;
  at("violation-rows").replaceChildren(...answer.violations.slice(-10).reverse().map(violationNode));
  at("profile-rows").replaceChildren(...answer.profiles.map(profileNode));
  at("no-profiles").hidden = answer.profiles.length > 0;
}

function showEvents(events) {
  at("event-rows").replaceChildren(...events.reverse().map(eventNode));
  at("no-events").hidden = events.length > 0;
}

function isMode(mode, behaviour) {
  return Object.entries(behaviour).every(([name, value]) => {
    const wanted = mode.behaviour[name] ?? (typeof value === "boolean" ? false : name === "latency_ms" || name === "fail_next" ? 0 : null);
    return wanted === value;
  });
}

function showBehaviour(behaviour) {
  const mode = MODES.find((candidate) => isMode(candidate, behaviour));
  for (const button of at("modes").children) button.setAttribute("aria-pressed", String(button.textContent === mode?.label));
  at("behaviour-text").textContent = mode?.text ?? JSON.stringify(behaviour);
}

async function post(path, payload) {
  await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(payload) });
}

let seen = "";

async function refresh() {
  const [totals, behaviour] = await Promise.all([getJson("/totals"), getJson("/behave")]);
  showTotals(totals);
  showBehaviour(behaviour);
  const now = JSON.stringify([totals.total, totals.duplicates]);
  if (now === seen) return;
  const [profiles, events] = await Promise.all([
    getJson(`/profiles?limit=${SHOWN_PROFILES}&events=${SHOWN_HISTORY}`),
    getJson(`/events?limit=${SHOWN_EVENTS}`),
  ]);
  showProfiles(profiles);
  showEvents(events);
  seen = now;
}

for (const mode of MODES) {
  const button = element("button", { type: "button", "aria-pressed": "false" }, mode.label);
  button.addEventListener("click", () => post("/behave", mode.behaviour).then(refresh));
  at("modes").append(button);
}
at("reset").addEventListener("click", async () => {
  await post("/reset", {});
  seen = "";
  await refresh();
});

for (;;) {
  try {
    await refresh();
  } catch {
    at("behaviour-text").textContent = "The collector can't be reached.";
  }
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

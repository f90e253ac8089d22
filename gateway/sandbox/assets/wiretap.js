// Listens on the page's own wire. Runs before the tracking script, so that it sees all the script sends; changes nothing
// of it. Every request to the gateway's collect paths becomes a `sent` note, every answer an `answered` one.
(() => {
  "use strict";
  const script = document.currentScript;
  const gateway = new URL(script.dataset.gateway, location.href);
  const notes = [];
  const listeners = [];
  let count = 0;

  function tell(note) {
    notes.push(note);
    listeners.forEach((listener) => listener(note));
  }

  // A script element's failure doesn't bubble: it is caught on its way down.
  window.addEventListener("error", (event) => {
    if (event.target?.src?.startsWith(gateway.origin)) window.wiretap.scriptFailed = true;
  }, true);

  window.wiretap = {
    scriptFailed: false,
    // Calls back with every note so far, then with each new one.
    listen(listener) {
      notes.forEach((note) => listener(note));
      listeners.push(listener);
    },
  };

  function collectUrl(target) {
    try {
      const url = new URL(target, location.href);
      return url.origin === gateway.origin && /\/(event|stream_event)$/.test(url.pathname) ? url : null;
    } catch {
      return null;
    }
  }

  async function bodyText(body) {
    if (body === null || body === undefined) return "";
    if (typeof body === "string") return body;
    return new Response(body).text();
  }

  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }

  function noteSent(url, method, via, body) {
    const id = ++count;
    const at = Date.now();
    const query = Object.fromEntries(url.searchParams);
    bodyText(body).then((text) => tell({ kind: "sent", id, at, method, via, query, body: parsed(text) }));
    return id;
  }

  const realFetch = window.fetch;
  window.fetch = function fetch(input, init) {
    const isRequest = input instanceof Request;
    const url = collectUrl(isRequest ? input.url : input);
    if (!url) return realFetch.apply(this, arguments);
    const method = init?.method ?? (isRequest ? input.method : "GET");
    const body = init?.body ?? (isRequest && method !== "GET" ? input.clone().body : null);
    const id = noteSent(url, method, "fetch", body);
    const answer = realFetch.apply(this, arguments);
    answer.then(
      async (response) => {
        const text = response.type === "opaque" ? "" : await response.clone().text().catch(() => "");
        tell({ kind: "answered", id, status: response.status, body: parsed(text) });
      },
      () => tell({ kind: "answered", id, status: 0, body: null }),
    );
    return answer;
  };

  const realBeacon = navigator.sendBeacon?.bind(navigator);
  if (realBeacon) {
    navigator.sendBeacon = (target, body) => {
      const url = collectUrl(target);
      if (url) noteSent(url, "POST", "beacon", body);
      return realBeacon(target, body);
    };
  }
})();

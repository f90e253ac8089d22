/* The tracking gateway's script for web pages. */
// It takes over the queue that the page's stub has filled and sends each event to the host it was itself loaded from.
// What always holds:
//   - It never throws into the page. What goes wrong is at most a line in the console.
//   - An event is in the browser's store from before it is sent until its answer is seen, so a closed tab loses nothing.
//     When the answer was not seen, the event comes again under the same request_id: at least once, never less.
//   - Events go out in the order of tracking, one at a time, under the UID that held when they were tracked; or, where
//     the gateway took an event before them under another UID than its own, under that one.
//   - A UID that a logout or the gateway has ended does not come back, and no session leads from it to the next one.
//   - What the browser keeps of the visitor lives as long as the gateway's cookies do: after `cookie_days` without a visit
//     it is not used any more; with 0 days nothing of it outlives the browser.
//   - E-mail addresses and phone numbers are not touched here: the gateway hashes them.
(() => {
  "use strict";

  const shared = (window._cdpEventFunction = window._cdpEventFunction || {});
  // Loaded a second time: only a stub that was put up since then needs us.
  if (shared._adopt) return shared._adopt();

  // Where the gateway serves this very script, and where it takes events, seen from there. The gateway writes its own names here.
  const PLACES = { script: "/insight.js", event: "event", stream_event: "stream_event" };
  const here = document.currentScript || {};
  const script = here.src ? here : document.querySelector(`script[src*="${PLACES.script}"]`) || {};
  const home = script.src || location.href;

  const SECOND = 1000;
  const MINUTE = 60 * SECOND;
  const SESSION_MS = 30 * MINUTE;
  const DAY = 24 * 60 * MINUTE;
  const ANSWER_MS = 30 * SECOND;
  const FIRST_PAUSE_MS = 5 * SECOND;
  const LONGEST_PAUSE_MS = 10 * MINUTE;
  // Browsers refuse more than 64 KiB under way at once.
  const KEEPALIVE_BYTES = 60000;
  const STORED_EVENTS = 50;
  const STORED_CHARS = 65536;
  const WAITING_EVENTS = 1000;
  const STORED = "_asm_event_";

  const attempt = (work, otherwise) => {
    try {
      return work();
    } catch (_) {
      return otherwise;
    }
  };
  const warn = (...words) => attempt(() => console.warn("web_event:", ...words));
  const guarded = (work) => (...args) => {
    try {
      return work(...args);
    } catch (error) {
      warn(error);
    }
  };

  // The page's settings may be `let` or `const`, which are no properties of `window`: so they are read by bare name.
  const settings = () => (typeof _cdp365Analytics === "object" && _cdp365Analytics) || {};
  const property = () => ({
    portal_id: typeof _portalId === "undefined" ? "" : _portalId,
    prop_id: (window.web_event && web_event.propId) || (typeof _propId === "undefined" ? "" : _propId),
  });
  // The cookie with the UID, and the key under which localStorage has it too.
  const UID = attempt(() => /^[\w.-]+$/.exec(settings().cookie_name || "")[0], "_asm_uid");
  const SEEN = UID + "_seen";
  // The longest that browsers allow.
  const MOST_DAYS = 400;
  const DAYS = attempt(() => {
    const days = Number(settings().cookie_days ?? MOST_DAYS);
    return days >= 0 && days <= MOST_DAYS ? days : MOST_DAYS;
  }, MOST_DAYS);
  const COOKIE_SECONDS = (DAYS * DAY) / SECOND;
  const isSecure = location.protocol === "https:";
  // Browsers refuse None without Secure.
  const SAME_SITES = isSecure ? /^(strict|none)$/i : /^strict$/i;
  const SAME_SITE = attempt(() => SAME_SITES.exec(settings().cookie_same_site)[0], "Lax");
  const RESET = "reset_anonymous_id";
  const RESET_KEY = "_asm_reset_event";
  const RETIRED = "_asm_reset_uid";
  const RETIRED_UIDS = 8;

  // ---- Small tools

  const utf8 = (text) => new TextEncoder().encode(text);
  const hex = (bytes) => Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join("");

  // Not crypto.randomUUID: it is missing on pages without https.
  function randomHex(count) {
    const bytes = new Uint8Array(count);
    attempt(() => crypto.getRandomValues(bytes));
    return hex(bytes.some(Boolean) ? bytes : bytes.map(() => Math.random() * 256));
  }

  const freshUid = () => String(BigInt.asUintN(63, BigInt("0x" + randomHex(8))) || 1);

  function leadTime() {
    const now = new Date();
    const local = new Date(now - now.getTimezoneOffset() * MINUTE);
    return local.toISOString().slice(0, 19).replace("T", " ");
  }

  // RFC 1321, with its step and table names.
  function md5(text) {
    const message = utf8(String(text));
    const padded = new Uint8Array((((message.length + 8) >> 6) + 1) * 64);
    padded.set(message);
    padded[message.length] = 128;
    const words = new DataView(padded.buffer);
    words.setUint32(padded.length - 8, message.length * 8, true);
    words.setUint32(padded.length - 4, message.length / 2 ** 29, true);
    const shifts = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    const digest = new DataView(new ArrayBuffer(16));
    const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
    for (let block = 0; block < padded.length; block += 64) {
      let [a, b, c, d] = state;
      for (let i = 0; i < 64; i++) {
        const round = i >> 4;
        const mixed = [(b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d, c ^ (b | ~d)][round];
        const k = [i, 5 * i + 1, 3 * i + 5, 7 * i][round] & 15;
        const t = Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32);
        const sum = (a + mixed + t + words.getUint32(block + 4 * k, true)) | 0;
        const s = shifts[round][i & 3];
        [a, b, c, d] = [d, (b + ((sum << s) | (sum >>> (32 - s)))) | 0, b, c];
      }
      [a, b, c, d].forEach((word, i) => digest.setUint32(4 * i, (state[i] = (state[i] + word) | 0), true));
    }
    return hex(new Uint8Array(digest.buffer));
  }

  // JSON that also takes what pages hand over by mistake: a circle is cut where it closes.
  function toJson(value) {
    const path = [];
    return JSON.stringify(value, function (_, part) {
      if (typeof part === "bigint") return String(part);
      if (!part || typeof part !== "object") return part;
      while (path.length && path[path.length - 1] !== this) path.pop();
      if (path.includes(part)) return undefined;
      path.push(part);
      return part;
    });
  }

  // ---- What the browser remembers. Cookies and store may be refused: then this page's memory is all there is.

  const memory = {};
  const store = () => (DAYS ? localStorage : sessionStorage);
  const recall = (key) => attempt(() => store().getItem(key)) || memory[key] || "";
  const remember = (key, value) => {
    memory[key] = value;
    attempt(() => store().setItem(key, value));
  };

  // What a longer lifetime has left: the visitor is forgotten, and the events that wait move to where they may be.
  function leaveLocalStorage() {
    [UID, SEEN, RETIRED, RESET_KEY].forEach((key) => localStorage.removeItem(key));
    for (const key of keysOfEvents(localStorage)) {
      sessionStorage.setItem(key, localStorage.getItem(key));
      localStorage.removeItem(key);
    }
  }

  function readCookie(name) {
    const start = name + "=";
    const found = attempt(() => document.cookie.split("; ").find((part) => part.startsWith(start)));
    return found ? attempt(() => decodeURIComponent(found.slice(start.length)), "") : "";
  }

  function writeCookie(name, value, seconds) {
    const wanted = String(settings().first_party_domain || "").replace(/^\*?\./, "");
    const write = (domain, text, age) => {
      const lasts = DAYS || !text ? "; Max-Age=" + age : "";
      const where = (domain && "; Domain=" + domain) + (isSecure ? "; Secure" : "");
      attempt(() => {
        document.cookie = `${name}=${encodeURIComponent(text)}; Path=/${lasts}; SameSite=${SAME_SITE}${where}`;
      });
      return readCookie(name) === value;
    };
    // The browser refuses a domain that the page is not part of, as `host` is none: then the page's own host has to do.
    // And where a cookie of the same name on another domain hides ours, that one is overwritten as well; or ended, where
    // no domain may have one.
    const parents = location.hostname.split(".").map((_, i, labels) => labels.slice(i).join("."));
    const isForHost = wanted === "host";
    [wanted, ""].some((domain) => write(domain, value, seconds)) ||
      parents.some((domain) => (isForHost ? write(domain, "", 0) : write(domain, value, seconds)));
  }

  // ---- Who: the UID

  const isUid = (text) => typeof text === "string" && /^[1-9]\d{0,18}$/.test(text);

  // UIDs that a logout or the gateway has ended, each as uid:time. The answer to an event from before can bring one back
  // into the cookie: so each is known for a day, and for as long as an event waits that names it.
  const uidOf = (entry) => entry.split(":")[0];
  function retired() {
    const text = recall(RETIRED);
    const entries = text.split(" ").filter((entry) => {
      const [uid, since] = entry.split(":");
      return Math.abs(Date.now() - since) < DAY || (uid && unanswered().some((item) => packed(item).includes(uid)));
    });
    if (entries.join(" ") !== text) remember(RETIRED, entries.join(" "));
    return entries.map(uidOf);
  }
  const retire = (uid) => {
    retired();
    const others = recall(RETIRED).split(" ").filter((entry) => uidOf(entry) !== uid);
    remember(RETIRED, [uid + ":" + Date.now(), ...others].slice(0, RETIRED_UIDS).join(" ").trim());
  };

  // As long as the gateway has not heard of the logout, what it says in the cookie is about the visitor before.
  function isResetWaiting() {
    const key = recall(RESET_KEY);
    return Boolean(key) && (queue.some((item) => item.key === key) || attempt(() => store().getItem(key) !== null));
  }

  // A store keeps for ever what is put there. So the time when it was last in use stands beside the UID.
  const sinceSeen = () => Math.abs(Date.now() - recall(SEEN));
  const storedUid = () => (DAYS && recall(SEEN) && sinceSeen() >= DAYS * DAY ? "" : recall(UID));

  function knownUid() {
    // The cookie wins: the server renews it, and rotates it.
    const cookie = readCookie(UID);
    const stored = storedUid();
    const ended = retired();
    const holds = isUid(cookie) && (cookie === stored || !(ended.includes(cookie) || isResetWaiting()));
    return holds ? cookie : isUid(stored) ? stored : "";
  }

  // A UID made because none was known, until an event has said so.
  let minted;

  function currentUid() {
    const uid = knownUid() || (minted = freshUid());
    // A cookie that holds is left alone: one set by a script lives for 7 days in Safari, one set by the server longer.
    // Where none may outlive the browser, the first page of a tab ends what is left of a longer lifetime.
    const isNew = recall(UID) !== uid;
    if (readCookie(UID) !== uid || (isNew && !DAYS)) writeCookie(UID, uid, COOKIE_SECONDS);
    if (isNew) remember(UID, uid);
    if (!(sinceSeen() < SESSION_MS)) remember(SEEN, String(Date.now()));
    return uid;
  }

  // The gateway took an event under another UID than its own: another person had signed in on this device, or the
  // browser had forgotten a visitor whom the gateway still knows. That UID holds from now on, and for all that was
  // tracked since that event and has not left yet.
  function takeOver(answered, { au_id: given, uid_replaced: replaced }) {
    if (!isUid(given) || !isUid(replaced) || given === replaced) return;
    const stored = recall(UID);
    const ended = retired();
    // Nothing is to link the two UIDs. But one that was made for a forgotten visitor has no past to keep apart.
    const isOther = !ended.includes(replaced) && !/(^|&)uid_new=/.test(answered.query);
    let sid = freshUid();
    // The answer's cookie arrives before its body does, so an event tracked in between has seen the new UID already.
    const isCurrent = stored === replaced && !ended.includes(given);
    if (isCurrent || stored === given) {
      remember(UID, given);
      retire(replaced);
      if (currentUid() === given) {
        if (isOther) endSession();
        sid = touchSession();
      }
    } else if (ended.includes(replaced)) {
      // There was a logout meanwhile, and it holds. Only what was tracked before it goes out under the other UID.
      retire(given);
    } else {
      return;
    }
    for (const item of unanswered()) {
      if (item.key > answered.key && !item.isSent) attempt(() => exchange(item, replaced, given, sid));
    }
  }

  function exchange(item, replaced, given, sid) {
    const fields = item.body ? JSON.parse(item.body) : Object.fromEntries(new URLSearchParams(item.query));
    const swap = (holder, name) => holder && holder[name] === replaced && Boolean((holder[name] = given));
    const changes = [swap(fields, "uid"), swap(fields, "aid"), fields.ea === RESET && swap(fields.extra, "reset_uid")];
    if (fields.uid === given && fields.sid && fields.sid !== sid) changes.push(Boolean((fields.sid = sid)));
    if (!changes.includes(true)) return;
    if (item.body) item.body = JSON.stringify(fields);
    else item.query = String(new URLSearchParams(fields));
    if (store().getItem(item.key) !== null) store().setItem(item.key, packed(item));
  }

  // ---- When: the session, which ends after 30 minutes without an event

  let session = {};
  let isKnown = Boolean(storedUid() || readCookie("_asm_visitor_type"));

  function endSession() {
    writeCookie("_asm_ss_view", "", 0);
    session = {};
    isKnown = false;
  }

  function touchSession(isPageView) {
    const now = Date.now();
    session = attempt(() => JSON.parse(readCookie("_asm_ss_view"))) || session;
    if (!session.sid || !(now - session.utime < SESSION_MS)) {
      session = { time: now, sid: freshUid(), page_view_order: 0 };
      writeCookie("_asm_visitor_type", isKnown ? "r" : "n", COOKIE_SECONDS);
      isKnown = true;
    }
    if (isPageView) session.page_view_order++;
    session.utime = now;
    // Milliseconds, as the two times.
    session.duration = now - session.time;
    writeCookie("_asm_ss_view", JSON.stringify(session), SESSION_MS / SECOND);
    return session.sid;
  }

  // ---- The queue: events that wait for their answer
  //
  // Each event has a key of its own in the store, so tabs never overwrite each other's. All tabs share localStorage, and
  // a page starts with what it finds there. A tab that loads while another one waits for an answer can send that event
  // too; a lock would cost more than the gateway's look at the request_id. What was answered leaves the store, and the
  // `storage` event tells the other tabs.

  let queue = [];
  // Seven digits: keys sort as they were made.
  let serial = 1e6;
  let inFlight = 0;
  let keepaliveBytes = 0;
  let failures = 0;
  let timer = 0;
  let isLeaving = false;
  // A clock that was set back must not stop us for longer than a pause lasts.
  let pausedUntil = Math.min(Number(recall("_asm_retry_at")), Date.now() + LONGEST_PAUSE_MS);

  const keysOfEvents = (where) => Object.keys(where).filter((key) => key.startsWith(STORED)).sort();
  const forget = (key) => {
    queue = queue.filter((item) => item.key !== key);
  };

  const packed = (item) => JSON.stringify([item.path, item.query, item.body]);
  const unpack = (item, text) => {
    [item.path, item.query, item.body] = JSON.parse(text);
    return item;
  };

  function keep(item) {
    const text = packed(item);
    // It would push out all the others and still not fit.
    if (text.length > STORED_CHARS) return;
    store().setItem(item.key, text);
    const keys = keysOfEvents(store());
    const sizes = keys.map((key) => store().getItem(key).length);
    let total = sizes.reduce((sum, size) => sum + size, 0);
    while (keys.length > STORED_EVENTS || total > STORED_CHARS) {
      total -= sizes.shift();
      store().removeItem(keys.shift());
    }
  }

  function enqueue(path, uid, params, body) {
    const id = randomHex(16);
    const given = { ...params, resp_type: "json", format: "json", request_id: id };
    // Whoever knows the visitor by another cookie may tell who that is.
    if (uid === minted) {
      given.uid_new = "1";
      minted = undefined;
    }
    const query = String(new URLSearchParams(given));
    const item = { key: STORED + Date.now() + "_" + serial++ + "_" + id, path, query, body };
    if (queue.push(item) > WAITING_EVENTS) {
      forget(queue[0].key);
      warn("too many events wait: the oldest is dropped");
    }
    attempt(() => keep(item));
    pump();
  }

  function storedItems() {
    return keysOfEvents(store()).flatMap((key) => {
      const item = attempt(() => unpack({ key }, store().getItem(key)));
      if (!item) store().removeItem(key);
      return item || [];
    });
  }

  // All that waits for an answer: here, and in other tabs.
  function unanswered() {
    const others = attempt(storedItems, []).filter((one) => !queue.some((item) => item.key === one.key));
    return queue.concat(others);
  }

  // One request at a time: the gateway goes by the order of arrival, so a sign-in must not overtake the page view.
  // A page that is being left has no time for that: then all that waits goes out at once.
  const pump = guarded(() => {
    clearTimeout(timer);
    const pause = pausedUntil - Date.now();
    if (pause > 0) {
      timer = setTimeout(pump, pause);
      return;
    }
    for (const item of queue.slice()) if (!item.isSent && (isLeaving || !inFlight)) send(item);
  });

  function send(item) {
    const url = new URL(PLACES[item.path], home) + "?" + item.query;
    item.isSent = true;
    if (isLeaving && item.body && !("keepalive" in Request.prototype)) {
      // A beacon has no answer, so the event stays stored and the next page sends it again.
      navigator.sendBeacon(url, item.body);
      return;
    }
    const size = item.body ? utf8(item.body).length : 0;
    const keepalive = keepaliveBytes + size <= KEEPALIVE_BYTES;
    const counted = keepalive ? size : 0;
    inFlight++;
    keepaliveBytes += counted;
    const options = { credentials: "include", keepalive };
    if (window.AbortSignal && AbortSignal.timeout) options.signal = AbortSignal.timeout(ANSWER_MS);
    if (item.body) {
      options.method = "POST";
      options.body = item.body;
      // With application/json the browser would ask first, by a preflight request for each event.
      options.headers = { "Content-Type": "text/plain;charset=UTF-8" };
    }
    const settle = async (given) => {
      const answer = given || {};
      // Read to its end before the next event leaves: that one may have to go out under another UID.
      const said = await bodyOf(answer).catch(() => 0);
      inFlight--;
      keepaliveBytes -= counted;
      item.isSent = false;
      settled(item, answer);
      attempt(() => [].concat((said && said.results) || said).forEach((one) => one && takeOver(item, one)));
      pump();
    };
    // The page may have wrapped fetch in something that throws: that counts as no answer.
    new Promise((resolve) => resolve(fetch(url, options))).then(settle, () => settle({})).catch(warn);
  }

  const bodyOf = async (answer) => answer.ok && /json/.test(answer.headers.get("Content-Type")) && answer.json();

  function settled(item, { status, headers }) {
    // 404 says that the gateway has other names by now: the next page's script knows them.
    if (!(status >= 200 && status < 500) || status === 404 || status === 408 || status === 429) {
      // Retry-After in its other form, a date, counts as not given; across origins it must be exposed to be seen.
      const seconds = Number(attempt(() => headers.get("Retry-After")));
      const backoff = FIRST_PAUSE_MS * 2 ** failures++ * (0.5 + Math.random());
      pausedUntil = Date.now() + Math.min(seconds > 0 ? seconds * SECOND : backoff, LONGEST_PAUSE_MS);
      if (seconds > 0) remember("_asm_retry_at", String(pausedUntil));
      return;
    }
    failures = 0;
    forget(item.key);
    attempt(() => store().removeItem(item.key));
    if (status >= 400) warn("refused an event with status", status);
  }

  // ---- What the page calls

  function track(category, action, props) {
    if (!category || !action || typeof category !== "string" || typeof action !== "string") {
      warn("track needs a category and an action, both text");
      return;
    }
    const { items, dims, extra } = props || {};
    const uid = currentUid();
    const body = toJson({
      uid,
      aid: uid,
      // The gateway finds it.
      cid: "",
      sid: touchSession(category === "pageview" && action === "view"),
      ec: category,
      ea: action,
      et: leadTime(),
      items: [].concat(items || []),
      dims: dims || {},
      extra: extra || {},
      context: {
        navigation: { url: location.href, title: document.title },
        referrer: document.referrer,
        screen: { width: screen.width, height: screen.height },
        timezone: attempt(() => Intl.DateTimeFormat().resolvedOptions().timeZone, ""),
        locale: navigator.language,
      },
    });
    enqueue("event", uid, property(), body);
  }

  function resetAnonymousUId() {
    const old = currentUid();
    const fresh = freshUid();
    retire(old);
    remember(UID, fresh);
    writeCookie(UID, fresh, COOKIE_SECONDS);
    endSession();
    track("user", RESET, { extra: { reset_uid: old, generate_uid: fresh } });
    remember(RESET_KEY, queue[queue.length - 1].key);
    return fresh;
  }

  const sendUri = guarded((uri) => {
    const text = String(uri || "");
    const given = /^(\w+:)?\//.test(text) ? new URL(text, home).search : text;
    const params = { ...property(), ...Object.fromEntries(new URLSearchParams(given)) };
    if (!("uid" in params)) params.uid = currentUid();
    enqueue("stream_event", params.uid, params);
  });

  function trackEventWithUri(uri, link, target, options) {
    sendUri(uri);
    if (!link || (options && options.trackingOnly)) return;
    const url = new URL(link, location.href);
    if (url.protocol === "javascript:") warn("a link that is a script is not followed");
    else if (target === "_blank") window.open(url.href, target, "noopener");
    else location.assign(url.href);
  }

  const commands = {
    track: guarded(track),
    resetAnonymousUId: guarded(resetAnonymousUId),
    trackEventWithUri: guarded(trackEventWithUri),
  };

  // A call that came through the stub: ("track", "user", "identify", {…}), or without the command's name.
  const run = guarded((call) => {
    const args = Array.from(call);
    const isCommand = Object.prototype.hasOwnProperty.call(commands, args[0]);
    (isCommand ? commands[args.shift()] : commands.track)(...args);
  });

  // The stub stays, with live members: so whatever the page has kept of it goes straight through from now on.
  shared._adopt = guarded(() => {
    const api = (window.web_event = window.web_event || ((...args) => run(args)));
    const waiting = (api.queue = api.queue || []);
    if (waiting.isLive) return;
    const calls = waiting.splice(0);
    waiting.isLive = true;
    waiting.push = (...later) => later.forEach(run);
    Object.assign(api, commands);
    calls.forEach(run);
  });
  shared.md5 = guarded(md5);
  shared._cdpGetLeadTime = leadTime;

  const sendPageEvents = guarded(() => {
    const { page, items, dims, extra, track: list, default_event } = settings();
    // Some pages write it as text.
    if (String(default_event) !== "0") commands.track("pageview", "view", { items, dims, extra: { ...extra, ...page } });
    for (const [category, action, own] of list || []) {
      const props = own || {};
      commands.track(category, action, {
        items: props.items || items,
        dims: { ...dims, ...props.dims },
        extra: { ...extra, ...props.extra },
      });
    }
  });

  function start() {
    if (!DAYS) attempt(leaveLocalStorage);
    queue = attempt(storedItems, []);
    retired();
    sendPageEvents();
    shared._adopt();
    pump();
  }

  const leave = (isHidden) => {
    isLeaving = isHidden;
    if (isHidden) pump();
  };
  // Phones often end a page without `pagehide`: being hidden is the last that such a page hears.
  document.addEventListener("visibilitychange", () => leave(document.visibilityState === "hidden"));
  addEventListener("pagehide", () => leave(true));
  addEventListener("pageshow", () => leave(false));
  addEventListener("online", () => {
    pausedUntil = 0;
    pump();
  });
  addEventListener(
    "storage",
    guarded(({ key, newValue }) => {
      const item = queue.find((one) => one.key === key);
      if (newValue === null) forget(key);
      else if (item && !item.isSent) unpack(item, newValue);
    }),
  );

  // A page that the browser has only prepared was not visited yet.
  if (document.prerendering) document.addEventListener("prerenderingchange", guarded(start), { once: true });
  else guarded(start)();
})();

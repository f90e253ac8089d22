/* The tracking gateway's script for web pages. */
// It takes over the queue that the page's stub has filled and sends each event to the host it was itself loaded from.
// Browsers get it minified (web_event.min.js, made by `make script`); this file is what the source map shows them.
// What always holds:
//   - It never throws into the page. What goes wrong is at most a line in the console.
//   - Nothing is read from or written to the browser's memory, and nothing is sent, before the visitor has agreed, where
//     the page says that she must; and when she refuses, what was kept of her is taken away.
//   - An event is in the browser's store from before it is sent until its answer is seen, so a closed tab loses nothing.
//     When the answer was not seen, the event comes again under the same request_id: at least once, never less.
//   - Events go out in the order of tracking, one at a time, under the UID that held when they were tracked; or, where
//     the gateway took an event before them under another UID than its own, under that one.
//   - A UID that a logout or the gateway has ended does not come back, and no session leads from it to the next one.
//   - What the browser keeps of the visitor lives as long as the gateway's cookies do: after `cookie_days` without a visit
//     it is not used any more; with 0 days nothing of it outlives the browser.
//   - E-mail addresses and phone numbers are not touched here: the gateway hashes them.
((main, places) => {
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
  guarded(main)(attempt, warn, guarded, places);
})((attempt, warn, guarded, places) => {
  "use strict";

  // The page may have put anything there, and may have frozen it.
  const given = attempt(() => window._cdpEventFunction);
  const shared = typeof given === "object" && given ? given : {};
  // Loaded a second time: only a stub that was put up since then needs us.
  if (shared._adopt) return shared._adopt();
  attempt(() => (window._cdpEventFunction = shared));

  const isThis = ({ src }) => src.split("?")[0].endsWith(places.script);
  const here = document.currentScript || {};
  const script = here.src ? here : Array.from(document.scripts).find(isThis) || {};
  const home = script.src || location.href;

  const SECOND = 1000;
  const MINUTE = 60 * SECOND;
  const SESSION_MS = 30 * MINUTE;
  const DAY = 24 * 60 * MINUTE;
  const WEEK = 7 * DAY;
  const ANSWER_MS = 30 * SECOND;
  const FIRST_PAUSE_MS = 5 * SECOND;
  const LONGEST_PAUSE_MS = 10 * MINUTE;
  // Browsers refuse more than 64 KiB under way at once.
  const KEEPALIVE_BYTES = 60000;
  const STORED_EVENTS = 50;
  const STORED_CHARS = 65536;
  const WAITING_EVENTS = 1000;
  // What no gateway takes: so much text, so many values, so deep.
  const LARGEST_CHARS = 1e6;
  const MOST_PARTS = 1e4;
  const DEEPEST = 24;
  const STORED = "_asm_event_";
  const BRIDGE_MS = 2 * MINUTE;
  const VIEW_PAUSE_MS = 200;

  // The page's settings may be `let` or `const`, which are no properties of `window`: so they are read by bare name.
  // What may well be missing is asked for without an exception: one costs a page a millisecond, since the browser looks for
  // the line of each function that it came through.
  const settings = () => Object(typeof _cdp365Analytics === "object" && _cdp365Analytics);
  const setting = (name) => attempt(() => settings()[name]);
  const property = () => ({
    portal_id: attempt(() => _portalId) ?? "",
    prop_id: attempt(() => window.web_event?.propId || _propId) ?? "",
  });
  // The cookie with the UID, and the key under which localStorage has it too.
  const UID = attempt(() => /^[\w.-]+$/.exec(setting("cookie_name") || "")?.[0]) || "_asm_uid";
  const SEEN = UID + "_seen";
  // The longest that browsers allow.
  const MOST_DAYS = 400;
  const DAYS = attempt(() => {
    const days = Number(setting("cookie_days") ?? MOST_DAYS);
    return days >= 0 && days <= MOST_DAYS ? days : MOST_DAYS;
  }, MOST_DAYS);
  const COOKIE_SECONDS = (DAYS * DAY) / SECOND;
  const isSecure = location.protocol === "https:";
  // Browsers refuse None without Secure.
  const SAME_SITES = isSecure ? /^(strict|none)$/i : /^strict$/i;
  const SAME_SITE = attempt(() => SAME_SITES.exec(setting("cookie_same_site"))?.[0]) || "Lax";
  const RESET = "reset_anonymous_id";
  const RESET_KEY = "_asm_reset_event";
  const RETIRED = "_asm_reset_uid";
  const RETIRED_UIDS = 8;
  const RETRY_AT = "_asm_retry_at";
  const TYPE = "_asm_visitor_type";
  const VISIT = "_asm_ss_view";
  const BRIDGE = "_asm_bridge";

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
    // No text of a browser is so long that its length needs the other four bytes.
    words.setUint32(padded.length - 8, message.length * 8, true);
    const shifts = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
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
        const s = shifts[4 * round + (i & 3)];
        [a, b, c, d] = [d, (b + ((sum << s) | (sum >>> (32 - s)))) | 0, b, c];
      }
      [a, b, c, d].forEach((word, i) => digest.setUint32(4 * i, (state[i] = (state[i] + word) | 0), true));
    }
    return hex(new Uint8Array(digest.buffer));
  }

  // JSON that also takes what pages hand over by mistake: a circle is cut where it closes, elements are left out. Old
  // libraries teach arrays a `toJSON` of their own: it is passed over.
  function toJson(value) {
    const path = [];
    let parts = 0;
    return JSON.stringify(value, function (key, told) {
      const part = Array.isArray(this[key]) ? this[key] : told;
      if (typeof part === "bigint") return String(part);
      if (!part || typeof part !== "object") return part;
      if (++parts > MOST_PARTS) throw Error("too much data");
      while (path.length && path[path.length - 1] !== this) path.pop();
      if (path.includes(part) || path.length > DEEPEST || (part.nodeType && part.nodeName)) return undefined;
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
  const isOurs = (key) => key === UID || key === SEEN || key.startsWith("_asm_");

  // What a longer lifetime has left: the visitor is forgotten, and the events that wait move to where they may be.
  function leaveLocalStorage() {
    for (const key of Object.keys(localStorage).filter(isOurs)) {
      if (key.startsWith(STORED)) sessionStorage.setItem(key, localStorage.getItem(key));
      localStorage.removeItem(key);
    }
  }

  function readCookie(name) {
    const start = name + "=";
    return attempt(() => {
      const found = document.cookie.split("; ").find((part) => part.startsWith(start));
      return found ? decodeURIComponent(found.slice(start.length)) : "";
    }, "");
  }

  function writeCookie(name, value, seconds) {
    const wanted = String(setting("first_party_domain") || "").replace(/^\*?\./, "");
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

  // ---- Whether: the visitor's consent
  //
  // Where the page says nothing, everything flows. While it is `pending`, what is tracked is held in this page's memory.

  let consent = "";
  let isTold = false;
  let held = [];
  let hasBegun = false;

  const isPrivate = () => attempt(() => navigator.globalPrivacyControl);

  const whenAllowed = (work) => {
    // What the visitor has refused is no loss that anybody should read about.
    if (consent === "granted") work();
    else if (consent === "pending" && held.push(work) > WAITING_EVENTS) {
      held.shift();
      warn("dropped an event: too many");
    }
  };

  function setConsent(state) {
    if (setting("respect_gpc") && isPrivate()) state = "denied";
    else if (!/^(granted|denied|pending)$/.test(state)) {
      // What can't be read is no yes.
      warn("no such consent:", state);
      state = "pending";
    }
    consent = state;
    if (state === "denied") forgetVisitor();
    if (state !== "granted") return;
    begin();
    held.splice(0).forEach((work) => work());
  }

  function forgetVisitor() {
    // The gateway's own cookie, which no script sees, is the gateway's to end: a HEAD is no event. Not for a stranger.
    if (hasBegun || readCookie(UID)) {
      const query = new URLSearchParams({ ...property(), consent: "denied" });
      const options = { method: "HEAD", credentials: "include", keepalive: true };
      attempt(() => fetch(new URL(places.event, home) + "?" + query, options).catch(() => {}));
    }
    held = queue = [];
    session = {};
    minted = bridged = "";
    hasBegun = isKnown = false;
    for (const key of Object.keys(memory)) delete memory[key];
    for (const name of [UID, TYPE, VISIT]) if (readCookie(name)) writeCookie(name, "", 0);
    for (const where of ["localStorage", "sessionStorage"]) {
      attempt(() => Object.keys(window[where]).filter(isOurs).forEach((key) => window[where].removeItem(key)));
    }
  }

  function begin() {
    if (hasBegun) return;
    hasBegun = true;
    if (!DAYS) attempt(leaveLocalStorage);
    isKnown = Boolean(storedUid() || readCookie(TYPE));
    pausedUntil = retryAt();
    queue = attempt(storedItems, []);
    retired();
    pump();
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

  // A UID made because none was known, until an event has said so; or the one that a site of the same owner has sent along.
  let minted = "";
  let bridged = "";

  function currentUid() {
    const uid = knownUid() || (minted = bridged || freshUid());
    // A cookie that holds is left alone: one set by a script lives for 7 days in Safari, one set by the server longer.
    // Where none may outlive the browser, the first page of a tab ends what is left of a longer lifetime.
    const isNew = recall(UID) !== uid;
    if (readCookie(UID) !== uid || (isNew && !DAYS)) writeCookie(UID, uid, COOKIE_SECONDS);
    if (isNew) remember(UID, uid);
    if (!(sinceSeen() < SESSION_MS)) remember(SEEN, Date.now());
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
    if (item.body) item.body = toJson(fields);
    else item.query = String(new URLSearchParams(fields));
    if (store().getItem(item.key) !== null) store().setItem(item.key, packed(item));
  }

  // ---- When: the session, which ends after 30 minutes without an event

  let session = {};
  let isKnown = false;

  function endSession() {
    writeCookie(VISIT, "", 0);
    session = {};
    isKnown = false;
  }

  function touchSession(isPageView) {
    const now = Date.now();
    session = attempt(() => JSON.parse(readCookie(VISIT) || null)) || session;
    if (!session.sid || !(now - session.utime < SESSION_MS)) {
      session = { time: now, sid: freshUid(), page_view_order: 0 };
      writeCookie(TYPE, isKnown ? "r" : "n", COOKIE_SECONDS);
      isKnown = true;
    }
    if (isPageView) session.page_view_order++;
    session.utime = now;
    // Milliseconds, as the two times.
    session.duration = now - session.time;
    writeCookie(VISIT, JSON.stringify(session), SESSION_MS / SECOND);
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
  let pausedUntil = 0;
  // A clock that was set back must not stop us for longer than a pause lasts.
  const retryAt = () => Math.min(recall(RETRY_AT), Date.now() + LONGEST_PAUSE_MS);

  const keysOfEvents = (where) => Object.keys(where).filter((key) => key.startsWith(STORED)).sort();
  const forget = (key) => {
    queue = queue.filter((item) => item.key !== key);
  };
  const remove = (item) => {
    forget(item.key);
    attempt(() => store().removeItem(item.key));
  };

  const packed = (item) => toJson([item.path, item.query, item.body]);
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
    if (body && body.length > LARGEST_CHARS) return warn("dropped an event: too large");
    const id = randomHex(16);
    const given = { ...params, resp_type: "json", format: "json", request_id: id };
    // Whoever knows the visitor by another cookie may tell who that is.
    if (uid === minted) {
      given.uid_new = "1";
      minted = "";
    }
    const query = String(new URLSearchParams(given));
    const item = { key: STORED + Date.now() + "_" + serial++ + "_" + id, path, query, body };
    if (queue.push(item) > WAITING_EVENTS) {
      forget(queue[0].key);
      warn("dropped an event: too many");
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
    for (const item of queue.slice()) {
      if (item.isSent) continue;
      if (Date.now() - item.key.split("_")[3] > WEEK) {
        warn("dropped an event: older than a week");
        remove(item);
      } else if (isLeaving || !inFlight) send(item);
    }
  });

  // What a tab has left that was closed goes out with the next page; or some time after the gateway can be reached again:
  // by then the tabs that are open have sent what is their own.
  const sendLeftOvers = guarded(() => {
    if (!hasBegun) return;
    queue = unanswered().sort((one, other) => (one.key < other.key ? -1 : 1));
    pump();
  });
  const lookLater = () => setTimeout(sendLeftOvers, ANSWER_MS * (1 + Math.random()));

  function send(item) {
    const url = new URL(places[item.path], home) + "?" + item.query;
    item.isSent = true;
    // By the same clock as the event's own time: what the gateway finds it off by, the event is off by.
    const body = item.body && '{"sent_at":' + Date.now() + "," + item.body.slice(1);
    if (isLeaving && body && !attempt(() => "keepalive" in Request.prototype)) {
      // A beacon has no answer, so the event stays stored and the next page sends it again.
      navigator.sendBeacon(url, body);
      return;
    }
    const size = utf8(body || "").length;
    const keepalive = keepaliveBytes + size <= KEEPALIVE_BYTES;
    const counted = keepalive ? size : 0;
    inFlight++;
    keepaliveBytes += counted;
    const signal = attempt(() => AbortSignal.timeout(ANSWER_MS));
    const options = { credentials: "include", keepalive, signal };
    // As text/plain, which is what text is when nothing else is said: with application/json the browser would ask first,
    // by a preflight request for each event.
    if (body) Object.assign(options, { method: "POST", body });
    const exchanged = async () => {
      let answer = {};
      let said;
      // The page may have wrapped fetch in something that throws, or gives nothing: that counts as no answer.
      try {
        answer = (await fetch(url, options)) || {};
        // Read to its end before the next event leaves: that one may have to go out under another UID.
        if (answer.ok && /json/.test(answer.headers.get("Content-Type"))) said = await answer.json();
      } catch (_) {}
      inFlight--;
      keepaliveBytes -= counted;
      item.isSent = false;
      settled(item, answer);
      // The answer may have brought a cookie.
      if (consent === "denied") forgetVisitor();
      attempt(() => [].concat((said && said.results) || said).forEach((one) => one && takeOver(item, one)));
      pump();
    };
    exchanged().catch(warn);
  }

  function settled(item, { status, headers }) {
    // 404 says that the gateway has other names by now: the next page's script knows them.
    if (!(status >= 200 && status < 500) || [404, 408, 429].includes(status)) {
      // Seconds or a date; across origins it must be exposed to be seen.
      const told = attempt(() => headers.get("Retry-After"));
      const wanted = told * SECOND || Date.parse(told) - Date.now();
      // A browser that calls itself offline will say when it is back; but some are wrong, so it is tried all the same.
      const doubled = FIRST_PAUSE_MS * 2 ** failures++ * (0.5 + Math.random());
      const backoff = navigator.onLine === false ? LONGEST_PAUSE_MS : doubled;
      pausedUntil = Date.now() + Math.min(wanted > 0 ? wanted : backoff, LONGEST_PAUSE_MS);
      if (wanted > 0) remember(RETRY_AT, pausedUntil);
      return;
    }
    if (failures) lookLater();
    failures = 0;
    remove(item);
    if (status >= 400) warn("dropped an event: refused with", status);
  }

  // ---- What the page calls

  function track(category, action, props) {
    if (!category || !action || typeof category !== "string" || typeof action !== "string") {
      warn("track needs a category and an action");
      return;
    }
    sendView();
    const { items, dims, extra } = props || {};
    const about = property();
    let fields = {
      ec: category,
      ea: action,
      et: leadTime(),
      items: [].concat(items || []),
      dims: dims || {},
      extra: extra || {},
      context: {
        navigation: { url: location.href, title: document.title },
        referrer,
        screen: { width: screen.width, height: screen.height },
        timezone: timezone(),
        locale: navigator.language,
        gpc: isPrivate() || undefined,
      },
    };
    // What the page changes meanwhile is not what was tracked.
    if (consent === "pending") fields = JSON.parse(toJson(fields));
    whenAllowed(() => {
      const uid = currentUid();
      const sid = touchSession(category === "pageview" && action === "view");
      if (isTold) fields.context.consent = consent;
      // The gateway finds the cid.
      enqueue("event", uid, about, toJson({ uid, aid: uid, cid: "", sid, ...fields }));
    });
  }

  function resetAnonymousUId() {
    sendView();
    const fresh = freshUid();
    whenAllowed(() => {
      const old = currentUid();
      retire(old);
      remember(UID, fresh);
      writeCookie(UID, fresh, COOKIE_SECONDS);
      endSession();
      track("user", RESET, { extra: { reset_uid: old, generate_uid: fresh } });
      remember(RESET_KEY, queue[queue.length - 1].key);
    });
    return fresh;
  }

  const sendUri = guarded((uri) => {
    const text = String(uri || "");
    const given = /^(\w+:)?\//.test(text) ? new URL(text, home).search : text;
    const params = { ...property(), ...Object.fromEntries(new URLSearchParams(given)) };
    whenAllowed(() => {
      if (!("uid" in params)) params.uid = currentUid();
      enqueue("stream_event", params.uid, params);
    });
  });

  function trackEventWithUri(uri, link, target, options) {
    sendUri(uri);
    if (!link || (options && options.trackingOnly)) return;
    const url = decorate(new URL(link, location.href).href);
    if (/^javascript:/.test(url)) warn("no link:", url);
    else if (target === "_blank") window.open(url, target, "noopener");
    else location.assign(url);
  }

  const commands = {
    track: guarded(track),
    resetAnonymousUId: guarded(resetAnonymousUId),
    trackEventWithUri: guarded(trackEventWithUri),
    consent: guarded((state) => {
      isTold = true;
      setConsent(state);
    }),
    decorate,
  };

  // A call that came through the stub: ("track", "user", "identify", {…}), or without the command's name.
  const run = guarded((call) => {
    const args = Array.from(call);
    const isCommand = Object.keys(commands).includes(args[0]);
    (isCommand ? commands[args.shift()] : commands.track)(...args);
  });

  // The stub stays, with live members: so whatever the page has kept of it goes straight through from now on.
  const adopt = guarded(() => {
    const api = window.web_event || (window.web_event = (...args) => run(args));
    const waiting = api.queue || (api.queue = []);
    if (waiting.isLive) return;
    const calls = waiting.splice(0);
    waiting.isLive = true;
    // Not by an assignment: where the page has frozen Array.prototype, that would be refused.
    Object.defineProperty(waiting, "push", { value: guarded((...later) => later.forEach(run)) });
    // A stub that was frozen leads here through its queue.
    attempt(() => Object.assign(api, commands));
    calls.forEach(run);
  });
  attempt(() => Object.assign(shared, { _adopt: adopt, md5: guarded(md5), _cdpGetLeadTime: guarded(leadTime) }));

  const viewPage = guarded(() => {
    const { page, items, dims, extra } = settings();
    commands.track("pageview", "view", { items, dims, extra: { ...extra, ...page } });
  });

  const sendPageEvents = guarded(() => {
    const { items, dims, extra, track: list, default_event } = settings();
    // Some pages write it as text.
    if (String(default_event) !== "0") viewPage();
    for (const [category, action, own] of list || []) {
      const props = own || {};
      commands.track(category, action, {
        items: props.items || items,
        dims: { ...dims, ...props.dims },
        extra: { ...extra, ...props.extra },
      });
    }
  });

  // ---- Pages that change without being loaded: the page view comes when the path has changed

  let referrer = attempt(() => document.referrer);
  let address = "";
  let viewedPath = location.pathname;
  let cameFrom = "";
  let viewTimer = 0;

  // Before whatever else is tracked on the new page.
  function sendView() {
    if (!viewTimer) return;
    viewTimer = clearTimeout(viewTimer);
    viewedPath = location.pathname;
    referrer = cameFrom;
    viewPage();
  }

  // Pages set their title, and send the visitor on, after they have changed the address: so it is read a little later.
  const look = guarded(() => {
    const before = address;
    address = location.href;
    if (!viewTimer) cameFrom = before;
    viewTimer = clearTimeout(viewTimer);
    if (location.pathname !== viewedPath) viewTimer = setTimeout(sendView, VIEW_PAUSE_MS);
  });

  function watchPath() {
    address = location.href;
    if (window.navigation) return navigation.addEventListener("currententrychange", look);
    for (const name of ["pushState", "replaceState"]) {
      const own = history[name];
      history[name] = function (...args) {
        const result = own.apply(this, args);
        look();
        return result;
      };
    }
    addEventListener("popstate", look);
  }

  // ---- The bridge to the other domains of the same owner
  //
  // A link there takes the UID along, with the time and a check of both and of the browser. It is good for two minutes, in
  // the same browser, for one who comes from one of the domains, and only where she is not known yet: so a link that is
  // passed on makes no two people one, and nobody who is signed in becomes somebody else.

  let bridges = [];
  let zone;
  // Making the first Intl object of a page takes several milliseconds.
  const timezone = () =>
    zone ?? (zone = attempt(() => window.Temporal?.Now.timeZoneId()) ?? attempt(() => Intl.DateTimeFormat().resolvedOptions().timeZone, ""));
  const isOf = (host, domain) => ("." + host).endsWith(domain.replace(/^\.?/, "."));
  const isSister = (url) =>
    bridges.some((domain) => isOf(new URL(url).hostname, domain) && !isOf(location.hostname, domain));
  const checkOf = (uid, time) =>
    md5([uid, time, property().portal_id, navigator.userAgent, navigator.language, timezone()]).slice(0, 12);

  function decorate(link) {
    return attempt(() => {
      const url = new URL(link, location.href);
      if (consent !== "granted" || !isSister(url.href)) return link;
      const uid = currentUid();
      const time = Date.now().toString(36);
      // By hand: searchParams would spell the rest of the query anew.
      url.search += `${url.search && "&"}${BRIDGE}=${uid}.${time}.${checkOf(uid, time)}`;
      return url.href;
    }, link);
  }

  // Only while the link is followed: one that is copied, or left in the page, takes nobody along.
  const onClick = guarded((event) => {
    const link = event.button < 2 && event.composedPath().find(({ tagName, href }) => /^a(rea)?$/i.test(tagName) && href);
    if (!link) return;
    const { href } = link;
    const there = decorate(href);
    if (there === href) return;
    const written = link.getAttribute("href");
    link.setAttribute("href", there);
    setTimeout(guarded(() => link.getAttribute("href") === there && link.setAttribute("href", written)));
  });

  function arrive() {
    const [text, before, told, after] = RegExp(`([?&])${BRIDGE}=([^&]*)(&?)`).exec(location.search) || [];
    if (!text) return;
    // Out of the address bar, whatever it says.
    attempt(() => history.replaceState(history.state, "", location.href.replace(text, after && before)));
    const [uid, time, check] = told.split(".");
    const age = Date.now() - parseInt(time, 36);
    const isGood = isUid(uid) && check === checkOf(uid, time) && age >= 0 && age < BRIDGE_MS;
    if (isGood && isSister(document.referrer)) bridged = uid;
  }

  function start() {
    if (typeof _cdpEnableDomainBridge !== "undefined" && _cdpEnableDomainBridge) {
      bridges = [].concat(setting("bridge_domains"));
      for (const type of ["click", "auxclick"]) addEventListener(type, onClick, true);
      attempt(arrive);
    }
    // A key without a value is an answer that could not be read.
    const isSet = attempt(() => "consent" in settings(), true);
    const call = attempt(() => web_event.queue.find((one) => one && one[0] === "consent"));
    const wish = isSet ? setting("consent") : call ? call[1] : "granted";
    const isHook = typeof wish === "function";
    isTold = Boolean(isSet || call);
    guarded(setConsent)(isHook ? "pending" : wish);
    if (isHook) guarded(wish)(commands.consent);
    if (setting("spa")) attempt(watchPath);
    sendPageEvents();
    adopt();
  }

  const leave = (isHidden) => {
    isLeaving = isHidden;
    if (!isHidden) return;
    sendView();
    pump();
  };
  // Phones often end a page without `pagehide`: being hidden is the last that such a page hears.
  document.addEventListener("visibilitychange", () => leave(document.visibilityState === "hidden"));
  addEventListener("pagehide", () => leave(true));
  addEventListener("pageshow", () => leave(false));
  addEventListener("online", () => {
    failures = 0;
    pausedUntil = retryAt();
    pump();
    lookLater();
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
  // Where the gateway serves this very script, and where it takes events, seen from there. It writes its own names in.
}, { script: "%script%", event: "%event%", stream_event: "%stream_event%" });

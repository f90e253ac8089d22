// A page's code in TypeScript, as the types of the script should take it: every line that must not compile says so.
/// <reference path="../../../gateway/sdk/web_event.d.ts" />

// Before the snippet.
window._portalId = "33167";
window._propId = "564990801";
window._cdpEnableDomainBridge = true;
window._cdp365Analytics = {
  first_party_domain: "shop.example",
  default_event: 0,
  page: { page_type: "product", page_category: "coffee" },
  items: [{ type: "product", id: "42", name: "Phin" }],
  track: [["product", "view"], ["cart", "opened", { extra: { from: "menu" } }]],
  consent: (tell) => setTimeout(() => tell("granted"), 1000),
  respect_gpc: true,
  spa: true,
  bridge_domains: ["shop.example", "shop2.example"],
  cookie_same_site: "lax",
};
window._cdp365Analytics = { consent: "pending" };
// @ts-expect-error -- there is no such answer
window._cdp365Analytics = { consent: "yes" };
// @ts-expect-error
window._cdp365Analytics = { cookie_days: "400" };

// The standard events need their fields.
const phin = { type: "product", id: "42", name: "Phin", price: 90000 } as const;
web_event.track("pageview", "view", { extra: { page_type: "product", page_category: "coffee" } });
web_event.track("product", "view", { items: [phin] });
web_event.track("product", "add_to_cart", { items: [phin], extra: { cart_subtotal: 90000, cart_item_count: 1 } });
web_event.track("product", "purchase", {
  items: [{ ...phin, quantity: 1, colour: "red" }],
  extra: { order_id: "A1", revenue: 90000, voucher: "TET" },
  dims: { purchase: { id: "A1" }, customers: { email: "lan@shop.example" } },
});
web_event.track("browsing", "product_search", { extra: { src_search_term: "phin" } });
web_event.track("promotion_code", "used", {
  items: [{ type: "promotion_code", id: "TET", code_status: 4 }],
  dims: { purchase: { id: "A1" } },
  extra: { order_id: "A1" },
});
web_event.track("user", "sign_in", { dims: { customers: { email: "lan@shop.example", phone: "0912 345 678" } } });
web_event.track("advertising", "click", { dims: { campaign: { id: 1 } } });
// @ts-expect-error -- no page type
web_event.track("pageview", "view");
// @ts-expect-error -- a product has a name
web_event.track("product", "view", { items: [{ type: "product", id: "42" }] });
// @ts-expect-error -- a cart has a subtotal
web_event.track("product", "checkout", { items: [phin], extra: { cart_item_count: 1 } });
// @ts-expect-error -- a purchase has a quantity
web_event.track("product", "purchase", { items: [phin], extra: { order_id: 1, revenue: 1 }, dims: { purchase: { id: 1 } } });
// @ts-expect-error -- nobody signs in
web_event.track("user", "sign_in", {});

// Events of the site's own carry what they like.
web_event.track("store_locator", "opened");
web_event.track("product", "zoomed", { extra: { factor: 2 } });
web_event.track(location.pathname, document.title, { items: { type: "article", id: 7 } });
// @ts-expect-error -- an item has a type
web_event.track("article", "read", { items: [{ id: 7 }] });
// @ts-expect-error -- an event has an action
web_event.track("article");

// Before and after the script has come.
web_event("track", "product", "view", { items: [phin] });
web_event("resetAnonymousUId");
web_event("consent", "granted");
web_event("trackEventWithUri", "ec=promo&ea=click", "/sale");
web_event.queue.push(["track", "a", "b"]);
web_event.propId = "564990801";

const fresh: string = web_event.resetAnonymousUId();
web_event.trackEventWithUri("ec=promo&ea=click", "/sale", "_blank", { trackingOnly: fresh === "" });
web_event.consent("denied");
// @ts-expect-error
web_event.consent(true);
location.assign(web_event.decorate("https://shop2.example/cart"));
const digest: string = _cdpEventFunction.md5("text") + window._cdpEventFunction._cdpGetLeadTime();
// @ts-expect-error
web_event.unknown(digest);

/**
 * What the tracking gateway's script gives to a page's code, and what it reads of the page.
 *
 * Get it with `tracking-gateway snippet --types > web_event.d.ts`, put it where your compiler looks, and `web_event`, `_cdp365Analytics` and the
 * others are known everywhere. The calls are the CDP's; every event may carry more than is named here.
 */

/** A thing that an event is about. `type` says what it is: `product`, `promotion_code`, `article`, … */
interface CdpItem {
  type: string;
  id?: string | number;
  name?: string;
  [attribute: string]: unknown;
}

interface CdpProduct extends CdpItem {
  type: "product";
  id: string | number;
  name: string;
  sku?: string;
  price?: number;
  original_price?: number;
  quantity?: number;
  brand?: string;
  main_category?: string;
}

interface CdpPromotionCode extends CdpItem {
  type: "promotion_code";
  /** 4: it was used. */
  code_status?: number;
}

/** Who somebody is. E-mail and phone may be raw: the gateway normalises and hashes them, and derives the customer id where there is none. */
interface CdpCustomer {
  customer_id?: string;
  name?: string;
  email?: string;
  phone?: string;
  gender?: string;
  /** `YYYY-MM-DD` */
  date_of_birth?: string;
  [attribute: string]: unknown;
}

/** The objects that an event is related to, by their type. */
interface CdpDims {
  customers?: CdpCustomer;
  users?: { id?: string; [attribute: string]: unknown };
  purchase?: { id: string | number; [attribute: string]: unknown };
  campaign?: { id: string | number; [attribute: string]: unknown };
  story?: { id: string | number; [attribute: string]: unknown };
  variant?: { id: string | number; [attribute: string]: unknown };
  [type: string]: unknown;
}

/** More about an event. A name of the standard events has its type; others may be anything that can stand in JSON. */
interface CdpExtra {
  page_type?: string;
  page_category?: string;
  cart_subtotal?: number;
  cart_item_count?: number;
  order_id?: string | number;
  revenue?: number;
  src_search_term?: string;
  identify_id?: string;
  /** `YYYY-MM-DD hh:mm:ss`, as `_cdpEventFunction._cdpGetLeadTime()` gives it. */
  identify_time?: string;
  identify_event?: string;
  identify_type?: "exact" | "predict";
  [attribute: string]: unknown;
}

/** What an event carries beside its name. */
interface CdpProps {
  items?: readonly CdpItem[] | CdpItem;
  dims?: CdpDims;
  extra?: CdpExtra;
}

type CdpExtraWith<Needed extends keyof CdpExtra> = CdpExtra & Required<Pick<CdpExtra, Needed>>;
type CdpCart = { items: readonly CdpProduct[]; dims?: CdpDims; extra: CdpExtraWith<"cart_subtotal" | "cart_item_count"> };

/** What each standard event needs, by category and action. */
interface CdpStandardEvents {
  pageview: { view: { extra: CdpExtraWith<"page_type" | "page_category"> } & CdpProps };
  product: {
    view: { items: readonly CdpProduct[] } & CdpProps;
    click: { items: readonly CdpProduct[] } & CdpProps;
    add_to_cart: CdpCart;
    view_cart: CdpCart;
    remove_cart: CdpCart;
    checkout: CdpCart;
    purchase: {
      items: readonly (CdpProduct & { quantity: number })[];
      extra: CdpExtraWith<"order_id" | "revenue">;
      dims: CdpDims & { purchase: { id: string | number } };
    };
  };
  browsing: {
    product_search: { items?: readonly CdpProduct[]; extra: CdpExtraWith<"src_search_term">; dims?: CdpDims };
  };
  promotion_code: {
    used: {
      items: readonly (CdpPromotionCode & { code_status: 4 })[];
      dims: CdpDims & { purchase: { id: string | number } };
      extra: CdpExtraWith<"order_id">;
    };
  };
  user: {
    sign_in: { dims: CdpDims & { customers: CdpCustomer } } & CdpProps;
    sign_up: { dims: CdpDims & { customers: CdpCustomer } } & CdpProps;
    identify: { dims: CdpDims & { customers: CdpCustomer } } & CdpProps;
    exit_intent: CdpProps;
  };
  advertising: {
    impression: { dims: CdpDims } & CdpProps;
    viewable: { dims: CdpDims } & CdpProps;
    click: { dims: CdpDims } & CdpProps;
  };
}

type CdpCategory = keyof CdpStandardEvents;
type CdpConsent = "granted" | "denied" | "pending";

interface CdpTrack {
  /** Send a standard event, with what it needs. */
  <Category extends CdpCategory, Action extends keyof CdpStandardEvents[Category] & string>(
    category: Category,
    action: Action,
    props: CdpStandardEvents[Category][Action],
  ): void;
  /** Send an event of the site's own. */
  <Category extends string, Action extends string>(
    category: Category,
    action: Category extends CdpCategory ? Exclude<Action, keyof CdpStandardEvents[Category]> : Action,
    props?: CdpProps,
  ): void;
}

interface CdpUriOptions {
  /** Send the event and stay on the page, whatever the link says. */
  trackingOnly?: boolean;
}

/** `web_event` as it is from the snippet on: calls wait until the script has come. */
interface CdpStub {
  (category: string, action: string, props?: CdpProps): void;
  (command: "track", category: string, action: string, props?: CdpProps): void;
  (command: "resetAnonymousUId"): void;
  (command: "trackEventWithUri", uri: string, link?: string, target?: string, options?: CdpUriOptions): void;
  (command: "consent", state: CdpConsent): void;
  track: CdpTrack;
  propId: string;
  queue: { push(...calls: ArrayLike<unknown>[]): void };
}

/** `web_event` once the script has come. */
interface CdpWebEvent extends CdpStub {
  /** On logout: end the visitor's UID, begin a new one and give it. Empty text when the script could not. */
  resetAnonymousUId(): string;
  /** Send a ready-made query string, or a whole URL of the collector; with a link, then go there. */
  trackEventWithUri(uri: string, link?: string, target?: string, options?: CdpUriOptions): void;
  /** Say whether the visitor agrees. See `_cdp365Analytics.consent`. */
  consent(state: CdpConsent): void;
  /** Give a link to another of the owner's domains with the visitor in it, for two minutes; any other link as it is. */
  decorate(link: string): string;
}

/** What a page says of itself, before the snippet. */
interface Cdp365Analytics {
  /** The domain that shares the visitor's cookies, or `host`: this host alone. */
  first_party_domain?: string;
  /** `0`: no page view by itself. */
  default_event?: 0 | 1 | "0" | "1";
  /** Goes with each page view. */
  page?: { page_type?: string; page_category?: string; [attribute: string]: unknown };
  items?: readonly CdpItem[];
  dims?: CdpDims;
  extra?: CdpExtra;
  /** Events to send on load. */
  track?: readonly (readonly [category: string, action: string, props?: CdpProps])[];
  /**
   * Whether the visitor agrees; nothing said: everything flows. `pending`: events wait in the page's memory, nothing is read, stored or sent.
   * `denied`: nothing is stored or sent, and what was stored is removed. A function is called once, `pending` until then, with what to tell the answer to.
   */
  consent?: CdpConsent | ((tell: (state: CdpConsent) => void) => void);
  /** `true`: a browser that says Global Privacy Control counts as `denied`. */
  respect_gpc?: boolean;
  /** `true`: a page view each time the page's script changes the path. */
  spa?: boolean;
  /** The owner's domains, this one among them or not. With `_cdpEnableDomainBridge`, links to them take the visitor along. */
  bridge_domains?: string | readonly string[];
  /** The gateway's `cookies.name`. */
  cookie_name?: string;
  /** The gateway's `cookies.lifetime_days`. */
  cookie_days?: number;
  /** The gateway's `cookies.same_site`. */
  cookie_same_site?: "lax" | "strict" | "none";
  [name: string]: unknown;
}

interface CdpEventFunction {
  /** The lower-case hex MD5 of the text in UTF-8. */
  md5(text: string): string;
  /** The local time, `YYYY-MM-DD hh:mm:ss`. */
  _cdpGetLeadTime(): string;
}

declare var web_event: CdpWebEvent;
declare var _cdp365Analytics: Cdp365Analytics | undefined;
declare var _portalId: string;
declare var _propId: string;
declare var _cdpEnableDomainBridge: boolean | undefined;
declare var _cdpEventFunction: CdpEventFunction;

interface Window {
  web_event: CdpWebEvent;
  _cdp365Analytics?: Cdp365Analytics;
  _portalId: string;
  _propId: string;
  _cdpEnableDomainBridge?: boolean;
  _cdpEventFunction: CdpEventFunction;
}

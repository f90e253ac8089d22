// The shop. It tracks the way a site does: `web_event.track` with the addresses as they were typed, and nothing else.

import { dong, PEOPLE, PRODUCTS } from "./goods.js";
import { element } from "./values.js";

const at = (id) => document.getElementById(id);
const cart = new Map(); // product id → quantity
let chosen = PRODUCTS[0];
let signedIn = null;

const track = (category, action, properties) => window.web_event.track(category, action, properties);

function leadTime() {
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}

function itemOf(product, quantity = 1) {
  const { id, sku, name, price, original_price, brand, main_category } = product;
  return { type: "product", id, name, sku, price, original_price, quantity, brand, main_category };
}

function customerOf(person) {
  // No customer_id: the gateway derives it from the address.
  return { customer_id: "", name: person.name, email: person.email, phone: person.phone };
}

const cartItems = () => [...cart].map(([id, quantity]) => itemOf(PRODUCTS.find((product) => product.id === id), quantity));
const subtotal = () => cartItems().reduce((sum, item) => sum + item.price * item.quantity, 0);
const itemCount = () => [...cart.values()].reduce((sum, quantity) => sum + quantity, 0);

function typedPerson() {
  return { name: at("name").value, email: at("email").value, phone: at("phone").value };
}

function personOrProblem() {
  const person = typedPerson();
  const hasAddress = person.email.trim() !== "" || person.phone.trim() !== "";
  at("problem").hidden = hasAddress;
  at("problem").textContent = hasAddress ? "" : "Cần e-mail hoặc điện thoại · An e-mail address or a phone number, please";
  if (!hasAddress) at("email").focus();
  return hasAddress ? person : null;
}

function fillForm(person) {
  for (const field of ["name", "email", "phone"]) at(field).value = person[field];
  for (const button of at("people").children) button.setAttribute("aria-pressed", String(button.textContent === person.label));
}

function otherPerson() {
  const isMinh = signedIn !== null && signedIn.name === PEOPLE[2].name;
  return isMinh ? PEOPLE[0] : PEOPLE[2];
}

function showAccount() {
  at("sign-in-form").hidden = signedIn !== null;
  at("signed-in").hidden = signedIn === null;
  at("person").textContent = signedIn ? signedIn.name : "nobody";
  at("welcome-name").textContent = signedIn ? signedIn.name : "";
  at("other-name").textContent = otherPerson().name;
}

function showCart() {
  at("cart-count").textContent = String(itemCount());
  at("cart-total").textContent = dong(subtotal());
  at("purchase").disabled = cart.size === 0;
}

function showProduct() {
  at("picture").innerHTML = chosen.picture;
  at("product-name").textContent = chosen.name;
  at("product-english").textContent = chosen.english;
  at("product-price").textContent = dong(chosen.price);
  at("product-original").textContent = chosen.original_price > chosen.price ? dong(chosen.original_price) : "";
  at("product-about").hidden = true;
  at("product-about").textContent = chosen.about;
  for (const button of at("shelf").children) button.setAttribute("aria-pressed", String(button.dataset.product === chosen.id));
}

function identify(action, person) {
  signedIn = person;
  track("user", action, {
    items: [],
    dims: { customers: customerOf(person) },
    extra: { identify_event: `user_${action}`, identify_time: leadTime(), identify_type: "exact" },
  });
  showAccount();
  at("sign-out").focus({ preventScroll: true }); // the form that had the focus is gone
}

function signOut() {
  if (typeof window.web_event.resetAnonymousUId !== "function") {
    // Without the script there is no new UID: to show "signed out" would be a lie.
    at("welcome-name").textContent = `${signedIn.name} · the tracking script has not loaded, can't sign out`;
    return;
  }
  window.web_event.resetAnonymousUId();
  signedIn = null;
  showAccount();
  at("sign-in").focus();
}

function viewProduct() {
  at("product-about").hidden = false;
  track("product", "view", { items: [itemOf(chosen)], dims: {}, extra: {} });
}

function addToCart() {
  cart.set(chosen.id, (cart.get(chosen.id) ?? 0) + 1);
  showCart();
  track("product", "add_to_cart", {
    items: [itemOf(chosen)],
    dims: {},
    extra: { cart_subtotal: subtotal(), cart_item_count: itemCount() },
  });
}

function purchase() {
  const buyer = signedIn ?? personOrProblem(); // a guest gives an address, too
  if (!buyer) return;
  const orderId = `DH-${Date.now().toString(36).toUpperCase()}`;
  const revenue = subtotal();
  track("product", "purchase", {
    items: cartItems(),
    dims: { customers: customerOf(buyer), purchase: { id: orderId, name: orderId, total: revenue } },
    extra: { order_id: orderId, revenue },
  });
  cart.clear();
  showCart();
}

for (const product of PRODUCTS) {
  const button = element("button", { type: "button", "data-product": product.id, "data-testid": `product-${product.id}`, "aria-label": product.name });
  button.innerHTML = product.picture;
  button.addEventListener("click", () => {
    chosen = product;
    showProduct();
  });
  at("shelf").append(button);
}
for (const person of PEOPLE) {
  const button = element("button", { type: "button" }, person.label);
  button.addEventListener("click", () => fillForm(person));
  at("people").append(button);
}
at("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const person = personOrProblem();
  if (person) identify("sign_in", person);
});
at("sign-up").addEventListener("click", () => {
  const person = personOrProblem();
  if (person) identify("sign_up", person);
});
at("sign-out").addEventListener("click", signOut);
at("second-person").addEventListener("click", () => identify("sign_in", otherPerson()));
at("view-product").addEventListener("click", viewProduct);
at("add-to-cart").addEventListener("click", addToCart);
at("purchase").addEventListener("click", purchase);

fillForm(PEOPLE[0]);
showProduct();
showCart();
showAccount();

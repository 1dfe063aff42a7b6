// The demo shop's cart. It lives in this browser; what happens to it is told to POST /v1/events.
"use strict";

const { base, shop, currency, idle } = document.documentElement.dataset;
const $ = (selector, inside = document) => inside.querySelector(selector);
const $$ = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const money = (amount) => new Intl.NumberFormat("en", { style: "currency", currency }).format(amount);
const shortId = (prefix) => prefix + crypto.randomUUID().slice(0, 8);
const dialog = (name) => $(`[data-dialog="${name}"]`);

const goods = new Map($$("[data-sku]").map((card) => [card.dataset.sku, { ...card.dataset }]));

// -- what is kept in this browser ------------------------------------------------------------------------
const kept = {
  get: (name) => JSON.parse(localStorage.getItem("kettle." + name)),
  set: (name, value) => localStorage.setItem("kettle." + name, JSON.stringify(value)),
};
const device = kept.get("device") ?? shortId("d-");
kept.set("device", device);
const session = sessionStorage.getItem("kettle.session") ?? shortId("s-");
sessionStorage.setItem("kettle.session", session);

const newCart = () => ({ id: shortId("c-"), lines: {} });
let cart = kept.get("cart") ?? newCart();

const total = () => Object.entries(cart.lines).reduce((sum, [sku, n]) => sum + n * goods.get(sku).price, 0);
const count = () => Object.values(cart.lines).reduce((sum, n) => sum + n, 0);
const cartUrl = () => {
  const lines = Object.entries(cart.lines).map(([sku, n]) => `${sku}:${n}`).join(",");
  return `${location.origin}${base}/?cart=${encodeURIComponent(cart.id)}&lines=${encodeURIComponent(lines)}`;
};

// -- events: kept until they were accepted, so a lost connection loses none --------------------------------
const item = (sku, quantity) => {
  const { name, price, category } = goods.get(sku);
  const image = `${location.origin}${base}/static/${sku}.png`;
  return { sku, name, quantity, price, category, image, url: `${location.origin}${base}/` };
};
const event = (type, more) => ({
  event_id: crypto.randomUUID(), type, shop_id: shop, occurred_at: new Date().toISOString(),
  device_id: device, session_id: session, ...more,
});
const cartEvent = (type, more) => event(type, { cart_id: cart.id, currency, cart_url: cartUrl(), ...more });

let sending = Promise.resolve();
function tell(...events) {
  kept.set("unsent", [...(kept.get("unsent") ?? []), ...events]);
  sending = sending.then(flush);
  return sending;
}
async function flush() {
  const batch = kept.get("unsent") ?? [];
  if (!batch.length) return;
  try {
    const answer = await fetch("/v1/events", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(batch), keepalive: true,
    });
    if (answer.status >= 500 || answer.status === 429) throw new Error(`status ${answer.status}`);
    const told = new Set(batch.map((one) => one.event_id));
    kept.set("unsent", (kept.get("unsent") ?? []).filter((one) => !told.has(one.event_id)));
    if (!answer.ok) say(`The collector refused an event (status ${answer.status}).`);
  } catch {
    say("The collector does not answer. Your cart is kept here and will be told again in a moment.");
    setTimeout(() => { sending = sending.then(flush); }, 3000);
  }
}

// -- the page --------------------------------------------------------------------------------------------
function say(words) {
  const note = $("[data-note]");
  note.textContent = words;
  note.hidden = !words;
}
const make = (tag, props, ...inside) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...inside);
  return node;
};
function show() {
  kept.set("cart", cart);
  $("[data-lines]").replaceChildren(...Object.entries(cart.lines).map(([sku, quantity]) => {
    const { name, price } = goods.get(sku);
    const button = (label, title, act) => {
      const node = make("button", { type: "button", textContent: label, onclick: act });
      node.setAttribute("aria-label", `${title}: ${name}`);
      return node;
    };
    return make("li", {},
      make("img", { src: `${base}/static/${sku}.svg`, alt: "", width: 56, height: 56 }),
      make("span", { className: "what" }, make("b", { textContent: name }), make("span", { textContent: money(quantity * price) })),
      make("span", { className: "amount" },
        button("−", "One less", () => change(sku, -1)), make("span", { textContent: quantity }), button("+", "One more", () => change(sku, 1))));
  }));
  $("[data-empty]").hidden = count() > 0;
  $("[data-filled]").hidden = count() === 0;
  $("[data-cart-id]").textContent = count() ? cart.id : "–";
  $("[data-count]").textContent = count();
  $$("[data-total]").forEach((node) => { node.textContent = money(total()); });
}
function change(sku, by) {
  const left = (cart.lines[sku] ?? 0) + by;
  if (left > 0) cart.lines[sku] = left;
  else delete cart.lines[sku];
  say("");
  show();
  tell(cartEvent(by > 0 ? "cart.item_added" : "cart.item_removed", { items: [item(sku, Math.abs(by))] }));
}

// -- checkout --------------------------------------------------------------------------------------------
const STEPS = ["contact", "address", "shipping", "payment"];
function goTo(step) {
  $$("[data-step]").forEach((form) => { form.hidden = form.dataset.step !== step; });
  $$("[data-at]").forEach((at) => {
    const before = STEPS.indexOf(at.dataset.at) < STEPS.indexOf(step);
    at.className = before ? "done" : "";
    if (at.dataset.at === step) at.setAttribute("aria-current", "step");
    else at.removeAttribute("aria-current");
  });
  $(`[data-step="${step}"] :is(input, button)`).focus();
}
const whenSent = {
  contact(form) {
    const email = form.email.value.trim();
    const consent = { granted: form.consent.checked, basis: "checkout", text: $("[data-consent-text]").textContent };
    kept.set("email", email);
    tell(cartEvent("checkout.step", { step: "contact", email, consent }), event("device.identified", { email, consent, how: "checkout" }));
  },
  address: () => tell(cartEvent("checkout.step", { step: "address" })),
  shipping: () => tell(cartEvent("checkout.step", { step: "shipping" })),
  payment() {
    const order = shortId("o-");
    tell(
      cartEvent("checkout.step", { step: "payment" }),
      cartEvent("order.placed", { order_id: order, total: total().toFixed(2), email: kept.get("email") }),
    );
    kept.set("bought", [...(kept.get("bought") ?? []).slice(-20), cart.id]);
    cart = newCart();
    show();
    dialog("checkout").close();
    $("[data-order-id]").textContent = order;
    dialog("bought").showModal();
  },
};
$$("[data-step]").forEach((form) => form.addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const { step } = form.dataset;
  whenSent[step](form);
  if (step !== "payment") goTo(STEPS[STEPS.indexOf(step) + 1]);
}));

// -- leaving ---------------------------------------------------------------------------------------------
let ticking;
function leave() {
  dialog("checkout").close();
  const email = kept.get("email");
  $("[data-left-words]").textContent = email
    ? `Nothing more happens on this page. If you ticked the box, a mail to ${email} follows once the cart counts as left.`
    : "Nothing more happens on this page. You typed no e-mail in the checkout, so the shop has nobody to write to.";
  const until = Date.now() + idle * 1000;
  clearInterval(ticking);
  const tick = () => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    $("[data-clock]").textContent = left;
    $("[data-clock-words]").textContent = left ? "seconds until the cart counts as left" : "– the cart counts as left; look at the mailbox";
    if (!left) clearInterval(ticking);
  };
  tick();
  ticking = setInterval(tick, 500);
  dialog("left").showModal();
}

// -- a link that brings the cart back --------------------------------------------------------------------
function comeBack() {
  const asked = new URLSearchParams(location.search);
  const id = asked.get("cart");
  if (!id) return;
  history.replaceState(null, "", `${base}/`);
  if ((kept.get("bought") ?? []).includes(id)) return say("That cart has been bought already. Thank you!");
  if (id === cart.id && count()) {
    say("Welcome back. Your cart is as you left it.");
  } else {
    const lines = (asked.get("lines") ?? "").split(",").map((line) => line.split(":"));
    const known = lines.filter(([sku, n]) => goods.has(sku) && n > 0 && n < 100).map(([sku, n]) => [sku, Math.trunc(n)]);
    if (!known.length || id.length > 100) return say("That cart is not known on this device. It waits where you filled it.");
    cart = { id, lines: Object.fromEntries(known) };
    say("Welcome back. We have put your cart together again.");
  }
  tell(cartEvent("cart.viewed"));
}

$$("[data-add]").forEach((button) => button.addEventListener("click", () => change(button.closest("[data-sku]").dataset.sku, 1)));
$$("[data-leave]").forEach((button) => button.addEventListener("click", leave));
$("[data-checkout]").addEventListener("click", () => {
  $("#email").value ||= kept.get("email") ?? "";
  dialog("checkout").showModal();
  goTo("contact");
});
comeBack();
show();
tell(); // what an earlier visit could not tell

// For a shop's pages: <script src="https://t.shop.example.com/push/push.js" data-shop="main" defer></script>
//
//   cartwakePush.subscribe({ token, text })   when the shopper presses a button that says what for; `text` is what it says
//   cartwakePush.forget()                     when the shopper logs out: the browser may be somebody else's tomorrow
//
// `token` comes from the shop's server, which asks POST /push/token for it when somebody has logged in.
"use strict";

((settings) => {
  const shop = document.currentScript?.dataset.shop || "main";
  const worker = document.currentScript?.dataset.worker || "/cartwake-worker.js";
  const where = ["cartwake-push", "/cartwake-push"];

  const kept = async () => (await (await caches.open(where[0])).match(where[1]))?.json();
  const keep = async (value) => (await caches.open(where[0])).put(where[1], new Response(JSON.stringify(value)));
  const whose = (token) => token.split(".")[0];

  const possible = () => "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;

  const isOurs = (subscription) => {
    const bytes = new Uint8Array(subscription.options.applicationServerKey ?? []);
    const text = btoa(String.fromCharCode(...bytes));
    return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") === settings.key;
  };

  const subscribeAt = (registration) =>
    registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: settings.key });

  const tell = async (subscription, token, more) => {
    const answer = await fetch(`${settings.base}/push/subscribe?shop=${encodeURIComponent(shop)}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ subscription, token, ...more }),
    });
    if (!answer.ok) throw new Error(`push/subscribe: ${answer.status} ${await answer.text()}`);
    const { renew } = await answer.json();
    await keep({ shop, renew, endpoint: subscription.endpoint });
  };

  // Another person, or other keys of the collector, means another subscription: the old one ends.
  async function subscribe({ token, text }) {
    if (!possible()) return "impossible";
    if ((await Notification.requestPermission()) !== "granted") return "denied";
    await navigator.serviceWorker.register(worker);
    const registration = await navigator.serviceWorker.ready;
    const known = await kept();
    let subscription = await registration.pushManager.getSubscription();
    if (subscription && !(isOurs(subscription) && known && whose(known.renew) === whose(token))) {
      await subscription.unsubscribe();
      subscription = null;
    }
    await tell(subscription ?? (await subscribeAt(registration)), token, { text });
    return "subscribed";
  }

  async function forget() {
    if (!possible()) return;
    await caches.delete(where[0]);
    const registration = await navigator.serviceWorker.getRegistration();
    await (await registration?.pushManager.getSubscription())?.unsubscribe();
  }

  // A subscription that ended, or is of old keys, is made anew without a question: that is no new consent.
  async function refresh() {
    const known = possible() && Notification.permission === "granted" ? await kept() : null;
    const registration = known && (await navigator.serviceWorker.getRegistration());
    if (!registration) return;
    const old = await registration.pushManager.getSubscription();
    if (old && isOurs(old)) return;
    await old?.unsubscribe();
    await tell(await subscribeAt(registration), known.renew, { replaces: known.endpoint });
  }

  window.cartwakePush = { subscribe, forget, ready: refresh().catch((error) => console.warn("cartwake push:", error)) };
})(__SETTINGS__);

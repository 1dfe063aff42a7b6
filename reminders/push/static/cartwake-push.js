// Cartwake's part of a shop's service worker. It shows push messages, leads to the cart when one is tapped, and tells
// the collector when the browser changes its subscription. A worker has to be of the shop's own origin, so the shop has
// a file of one line at its root: importScripts("https://t.shop.example.com/push/sw.js");
"use strict";

((settings) => {
  const kept = async () => (await (await caches.open("cartwake-push")).match("/cartwake-push"))?.json();
  const keep = async (value) =>
    (await caches.open("cartwake-push")).put("/cartwake-push", new Response(JSON.stringify(value)));

  // -- a message ------------------------------------------------------------------------------------------------
  const read = (data) => {
    try {
      const message = data.json();
      return message.cartwake === 1 ? message : null;
    } catch {
      return null; // no message, or one of somebody else whose code is in this worker too
    }
  };

  const web = (text) => {
    try {
      const url = new URL(text);
      return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
    } catch {
      return null;
    }
  };

  // Browsers want something to be seen for each message. The same tag puts a later one in the place of the earlier.
  self.addEventListener("push", (event) => {
    const message = read(event.data);
    if (!message) return;
    const { title, body, image, tag, url, quiet = false } = message;
    const pictures = image ? { icon: image, image } : {};
    const options = { body, tag, silent: quiet, renotify: !quiet, data: { cartwake: url ?? "" }, ...pictures };
    event.waitUntil(self.registration.showNotification(title, options));
  });

  self.addEventListener("notificationclick", (event) => {
    const url = event.notification.data?.cartwake;
    if (typeof url !== "string") return;
    event.notification.close();
    if (web(url)) event.waitUntil(self.clients.openWindow(web(url)));
  });

  // -- the subscription ---------------------------------------------------------------------------------------------
  self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event)));

  async function renew({ oldSubscription, newSubscription }) {
    const known = await kept();
    if (!known) return;
    const subscription =
      newSubscription ??
      (await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: settings.key }));
    const answer = await fetch(`${settings.base}/push/subscribe?shop=${encodeURIComponent(known.shop)}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ subscription, token: known.renew, replaces: oldSubscription?.endpoint ?? known.endpoint }),
    });
    if (answer.ok) await keep({ ...known, ...(await answer.json()), endpoint: subscription.endpoint });
  }
})(__SETTINGS__);

// The service worker of the tab's page: it adds the two headers without which browsers give no threads, and shows the
// page as it was last seen where there is no connection. The model's files are kept elsewhere (holding.js).

const STORE = "imagen-lab-page";
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

const withHeaders = (answer) => {
  // A redirect carries no headers that a page may read.
  if (answer.status === 0) return answer;
  const headers = new Headers(answer.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
};

const answered = async (event) => {
  const { request } = event;
  const [address] = request.url.split("?");
  const store = await caches.open(STORE);
  try {
    const answer = await fetch(request);
    if (answer.ok && !address.includes("/weights/")) event.waitUntil(store.put(address, answer.clone()));
    return withHeaders(answer);
  } catch (error) {
    const kept = await store.match(address);
    if (!kept) throw error;
    return withHeaders(kept);
  }
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && new URL(url).origin === location.origin) event.respondWith(answered(event));
});

// Threads need a page that is isolated, by two headers. Where the host does not send them, a service worker does.

const TRIED = "imagen-lab-isolation";

/** Starts the service worker where it helps, and reloads once for it, unless the visitor has begun by then. */
export const isolate = async ({ busy }) => {
  const { serviceWorker } = navigator;
  // In a frame of another page the headers are that page's business.
  if (globalThis.crossOriginIsolated || !serviceWorker || window.top !== window) return;
  try {
    await serviceWorker.register("service.js");
    await serviceWorker.ready;
    if (sessionStorage.getItem(TRIED) || busy()) return;
    sessionStorage.setItem(TRIED, "1");
    location.reload();
  } catch (error) {
    console.info("isolation:", error.message);
  }
};

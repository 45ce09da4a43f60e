// What this browser remembers of a visit: the controls, the tab and the last run. None of it reaches the server.

const [NAME, STORE, LAST] = ["imagen-lab", "runs", "last"];
const SETTINGS = "imagen-lab-settings";
const TAB = "imagen-lab-tab";

/** The name under which a page remembers something. The page of each model has a name of its own. */
export const own = (name, path) => [name, ...path.split("/").filter(Boolean).slice(-1)].join(":");

/** The remembered values where each is of the present one's type, else the present ones. */
export const restored = (text, now) => {
  try {
    const saved = JSON.parse(text);
    const fits =
      Array.isArray(saved) && saved.length === now.length && saved.every((x, i) => typeof x === typeof now[i]);
    return fits ? saved : now;
  } catch {
    return now;
  }
};

/** Whether an address asks for anything but how the page looks. */
export const asks = (query) =>
  [...new URLSearchParams(query).keys()].some((key) => !key.startsWith("__") && key !== "hide");

let begun = false;

const asked = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const runs = async (mode) => {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return (await asked(opening)).transaction(STORE, mode).objectStore(STORE);
};

// Private windows may refuse to remember: then the page begins anew.
const quietly = async (work) => {
  try {
    return await work();
  } catch (error) {
    console.info("memory:", error?.message);
    return null;
  }
};

export const memory = {
  /** Keeps the controls' values, once they were restored. */
  keep: (values) =>
    begun && quietly(() => localStorage.setItem(own(SETTINGS, location.pathname), JSON.stringify(values))),
  /** The values that the controls begin with; those of a link win. */
  settings: (now) => {
    begun = true;
    try {
      const saved = localStorage.getItem(own(SETTINGS, location.pathname));
      return asks(location.search) ? now : restored(saved, now);
    } catch {
      return now;
    }
  },
  keepTab: (name) => quietly(() => localStorage.setItem(TAB, name)),
  tab: () => quietly(() => localStorage.getItem(TAB)),
  /** Keeps a run as the text that the player was given. */
  keepRun: (text) => quietly(async () => asked((await runs("readwrite")).put(text, own(LAST, location.pathname)))),
  run: () => quietly(async () => asked((await runs("readonly")).get(own(LAST, location.pathname)))),
};

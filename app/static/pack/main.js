// What all static pages run: dark as the reader's system is, and recorded runs by <script>, since browsers refuse to
// fetch a file from disk.

const followSystem = () => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();
};

/** A recorded run's text, by its name: runs/NAME.js puts it into window.ImagenRuns. */
const load = (name) =>
  new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `runs/${name}.js`;
    script.onload = () => resolve(window.ImagenRuns[name]);
    script.onerror = () => reject(new Error(`runs/${name}.js: did not arrive`));
    document.head.append(script);
  });

/** The state that a link's query asks a recorded run's player to begin in, or null. */
const beginOf = (query) => {
  const begin = {};
  if (/^[0-9]{1,4}$/.test(query.get("step"))) begin.step = Number(query.get("step"));
  for (const name of ["view", "rule"]) if (query.get(name)) begin[name] = query.get(name);
  const pixel = /^([0-9]{1,4}),([0-9]{1,4})$/.exec(query.get("pixel"));
  if (pixel) begin.pixel = pixel.slice(1).map(Number);
  return Object.keys(begin).length ? begin : null;
};

/** A recorded run's text for the player, in the state that a link asks for. */
const opened = async (name, query) => {
  const text = await load(name);
  const begin = beginOf(query);
  return begin ? JSON.stringify({ ...JSON.parse(text), begin }) : text;
};

export const create = () => {
  followSystem();
  window.ImagenRuns = {};
  return { load, opened, beginOf };
};

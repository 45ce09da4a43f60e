// Projector mode: one key shows pictures, slider and sentence of a player over the whole window, for a class.

export const KEY = "p";

/** Whether a key pressed in an element writes there. */
export const writes = (target) =>
  Boolean(target?.closest?.("input:not([type=range], [type=radio]), textarea, select, [contenteditable]"));

/** What a key does: "toggle", "leave", "play", a number of steps to move by, or null. */
export const deedOf = (key, projected) => {
  if (key === KEY) return "toggle";
  if (!projected) return null;
  return { Escape: "leave", " ": "play", ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 }[key] ?? null;
};

/** The player to be projected: the first in sight that plays a recording and is not covered. */
const inSight = () =>
  [...document.querySelectorAll(".pl")]
    .filter((root) => root.offsetParent && !root.closest("[inert]"))
    .map((root) => root.player)
    .find((player) => player?.data?.kind === "recording");

let projected = null;

const leave = () => {
  projected.root.classList.remove("pl-projected");
  projected.draw();
  projected = null;
};

/** Shows a player over the whole window. */
export const project = (player) => {
  projected = player;
  player.root.classList.add("pl-projected");
  player.draw();
};

const press = (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || writes(event.target)) return;
  const deed = deedOf(event.key, projected !== null);
  if (deed === null) return;
  if (deed === "toggle" && !projected) {
    const player = inSight();
    if (!player) return;
    project(player);
  } else if (deed === "toggle" || deed === "leave") leave();
  else if (deed === "play") projected.toggle();
  else {
    projected.pause();
    projected.go(projected.at + deed);
  }
  event.preventDefault();
  // The player has keys of its own.
  event.stopPropagation();
};

let listens = false;

/** Listens to the document's keys, once for all players. */
export const listen = () => {
  if (!listens) document.addEventListener("keydown", press, true);
  listens = true;
};

// Zoom and place: the same for all pictures of a grid.

/** Zooms and their names; 0 fits a picture into its place, 1 is one screen pixel for each of its pixels. */
export const ZOOMS = [
  [0, "Fit"],
  [1, "1:1"],
  [2, "2:1"],
  [4, "4:1"],
];

// One press of an arrow key moves by this share of the window.
const STEP = 0.15;

/** A point of the picture, as a share of it, kept where the picture still fills the room; both in pixels. */
export const within = (share, room, full) => {
  const edge = Math.min(0.5, room / full / 2);
  return Math.min(1 - edge, Math.max(edge, share));
};

/** How far a picture of `full` pixels is moved so that the point at `share` stands in the middle of `room`. */
export const offset = (share, room, full) => room / 2 - full * within(share, room, full);

/** The zoom after `by` presses of + (or of −, where negative). */
export const zoomed = (zoom, by) => {
  const zooms = ZOOMS.map(([value]) => value);
  return zooms[Math.max(0, Math.min(zooms.length - 1, zooms.indexOf(zoom) + by))];
};

/** What a key does: { move: [dx, dy] } in pixels, { zoom }, or null. */
export const keyAction = (key, zoom, room, movable = zoom) => {
  const d = STEP * room;
  const move = { ArrowLeft: [-d, 0], ArrowRight: [d, 0], ArrowUp: [0, -d], ArrowDown: [0, d] }[key];
  if (move) return movable ? { move } : null;
  const next = { "+": zoomed(zoom, 1), "=": zoomed(zoom, 1), "-": zoomed(zoom, -1), 0: 0 }[key];
  return next === undefined ? null : { zoom: next };
};

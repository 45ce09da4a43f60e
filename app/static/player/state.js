// What a player shows, as a value: which step, view, rule and pixel. Lessons prepare it, links hold it.

import { closest } from "./curves.js";
import { VIEWS } from "./words.js";

/** The state of a player that shows a recording: { step, view, rule, pixel }. */
export const stateOf = (player) => ({
  step: player.step,
  view: player.view,
  rule: player.track.label,
  pixel: player.probe.pixel,
});

/** Brings a player into a state and stops it there; what is left out, or does not fit the run, stays as it is. */
export const prepare = (player, { step, view, rule, pixel }) => {
  const { data, root } = player;
  if (data?.kind !== "recording") return;
  player.pause();
  if (Object.hasOwn(VIEWS, view ?? "")) {
    const choice = root.querySelector(`.pl-bar input[value="${view}"]`);
    if (choice) {
      choice.checked = true;
      player.view = view;
    }
  }
  if (data.tracks.some((track) => track.label === rule)) player.selected = rule;
  if (pixel) player.probe.move(data, ...pixel);
  const steps = data.steps.map((x) => x.step);
  player.go(step ? closest(steps, step) : player.at);
};

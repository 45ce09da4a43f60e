// What the page does beside its parts.

import { hiding } from "./hide.js";
import { asks, memory } from "./memory.js";
import { hideIcons, nameParts, nameUploads } from "./names.js";
import { watchQueue } from "./offer.js";
import { joinRadios } from "./radios.js";

/** Opens the tab that was open last, and remembers each that is opened. */
const followTabs = async () => {
  document.addEventListener("click", ({ target }) => {
    const tab = target.closest?.('button[role="tab"][id]');
    if (tab) memory.keepTab(tab.id);
  });
  const last = await memory.tab();
  if (last && !asks(location.search)) document.getElementById(last)?.click();
};

/** Shows the last run in place of the recorded one, unless the address asks for something. */
const followRuns = async (player) => {
  player.onOwn = (text) => memory.keepRun(text);
  const text = asks(location.search) ? null : await memory.run();
  if (text) player.show(text);
};

export const create = () => {
  const style = document.createElement("style");
  style.textContent = hiding(location.search);
  document.head.append(style);
  let begun = false;
  // Parts of a tab appear when it is first opened.
  new MutationObserver(() => {
    joinRadios(document);
    nameUploads(document);
    nameParts(document);
    hideIcons(document);
    const player = document.querySelector("#player .pl")?.player;
    // The recorded run comes first, so that the last run takes its place.
    if (begun || !player?.data?.tracks) return;
    begun = true;
    const offer = document.getElementById("offer");
    if (offer) {
      const choice = document.querySelector('#place label:last-of-type input[type="radio"]');
      watchQueue(document.getElementById("player"), offer, choice);
    }
    followTabs();
    followRuns(player);
  }).observe(document, { childList: true, subtree: true });
  return { memory };
};

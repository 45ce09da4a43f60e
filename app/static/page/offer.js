// The visitor's own tab as the place to compute, offered where many people wait for the server.

// With so many before one, the tab is quicker on most machines; our choice.
const MANY = 2;

/** How many people a line says are before one; 0 where it says something else. */
export const peopleIn = (text) => Number(/(\d+)\s+people before you/.exec(text)?.[1] ?? 0);

/** Shows the offer while a line in `place` says that more than MANY wait, and takes it by the page's own switch. */
export const watchQueue = (place, offer, choice) => {
  const look = () => {
    offer.hidden = peopleIn(place.querySelector(".progress-text")?.textContent ?? "") <= MANY;
  };
  new MutationObserver(look).observe(place, { childList: true, subtree: true, characterData: true });
  offer.querySelector("button").addEventListener("click", () => choice.click());
};

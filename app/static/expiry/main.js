// Files that the server keeps for a while only: then their place says so, and offers to draw them again.

const EVERY = 30_000;

export const create = ({ milliseconds, says, again }) => {
  /** When each part got its files, and the buttons that draw them, by the part's id. */
  const parts = new Map();
  const pressed = new Set();

  const noteOf = (part) => document.getElementById(`${part}-expired`);

  const expire = (part, buttons) => {
    const place = document.getElementById(part);
    if (!place || noteOf(part)) return;
    const note = document.createElement("p");
    note.id = `${part}-expired`;
    note.className = "lab-note lab-wrong";
    note.setAttribute("role", "status");
    note.textContent = `${says} `;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "lab-again";
    button.textContent = again;
    // The button that was pressed last; before any, the first.
    const last = [...pressed].reverse().find((id) => buttons.includes(id)) ?? buttons[0];
    button.addEventListener("click", () => document.getElementById(last)?.click());
    note.append(button);
    place.inert = true;
    place.after(note);
  };

  const look = () => {
    for (const [part, { began, buttons }] of parts) if (Date.now() - began >= milliseconds) expire(part, buttons);
  };

  document.addEventListener(
    "click",
    ({ target }) => {
      const id = target.closest?.("button")?.id;
      if (!id) return;
      pressed.delete(id);
      pressed.add(id);
    },
    true,
  );
  // A clock, not one long timer: those stand still while a laptop sleeps.
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);

  return {
    look,
    /** The part has new files, which one of the buttons drew. */
    renew: (part, buttons) => {
      parts.set(part, { began: Date.now(), buttons });
      noteOf(part)?.remove();
      const place = document.getElementById(part);
      if (place) place.inert = false;
    },
  };
};

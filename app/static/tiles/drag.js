// Dragging a picture with one pointer.

/** Calls move(port, dx, dy) while a pointer drags a movable picture. */
export const listenToDrags = (grid, move) => {
  grid.addEventListener("pointerdown", (event) => {
    const port = event.target.closest(".tile-movable");
    if (!port || event.button !== 0 || !event.isPrimary) return;
    let [x, y] = [event.clientX, event.clientY];
    port.setPointerCapture(event.pointerId);
    // A second finger on the same picture has a place of its own.
    const same = (other) => other.pointerId === event.pointerId;
    const drag = (moved) => {
      if (!same(moved)) return;
      move(port, x - moved.clientX, y - moved.clientY);
      [x, y] = [moved.clientX, moved.clientY];
    };
    const drop = (dropped) => {
      if (!same(dropped)) return;
      port.removeEventListener("pointermove", drag);
      for (const name of ["pointerup", "pointercancel"]) port.removeEventListener(name, drop);
    };
    port.addEventListener("pointermove", drag);
    for (const name of ["pointerup", "pointercancel"]) port.addEventListener(name, drop);
  });
};

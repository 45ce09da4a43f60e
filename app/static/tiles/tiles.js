// Tiles: pictures of one scene beside each other, at any size, that zoom and pan together. No framework, no network.
(() => {
  "use strict";

  const ZOOMS = [[0, "Fit"], [1, "1:1"], [2, "2:1"], [4, "4:1"]];
  const STEP = 0.15; // of the window, for one press of an arrow key

  const mount = (place, read, watch, tell) => {
    const root = place.querySelector(".tiles-place");
    const view = { zoom: 0, x: 0.5, y: 0.5 }; // which point of the scene, as a share of it, is in the middle
    root.innerHTML = '<div class="tiles-bar" role="toolbar" aria-label="Zoom"></div><div class="tiles-grid"></div>';
    const [bar, grid] = root.children;
    for (const [zoom, label] of ZOOMS) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.dataset.zoom = zoom;
      bar.append(button);
    }
    const hint = document.createElement("span");
    hint.textContent = "1:1 is one screen pixel for each pixel of the largest picture. Drag, or arrow keys, + and −.";
    bar.append(hint);

    const ports = () => [...grid.querySelectorAll(".tile-port")];
    const largest = () => Math.max(1, ...ports().map((port) => port.firstElementChild.naturalWidth || 1));
    const side = () => (view.zoom * largest()) / (window.devicePixelRatio || 1);
    const lay = () => {
      for (const port of ports()) {
        const room = port.clientWidth, full = view.zoom ? side() : room, image = port.firstElementChild;
        const edge = Math.min(0.5, room / full / 2);
        const at = (share) => room / 2 - full * Math.min(1 - edge, Math.max(edge, share));
        image.style.width = `${full}px`;
        image.style.transform = `translate(${at(view.x)}px, ${at(view.y)}px)`;
        port.classList.toggle("tile-movable", full > room + 1);
      }
      for (const button of bar.querySelectorAll("button"))
        button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === view.zoom));
    };
    const zoomTo = (zoom) => { view.zoom = zoom; lay(); };
    const move = (port, dx, dy) => {
      if (!view.zoom) return;
      const full = side(), edge = Math.min(0.5, port.clientWidth / full / 2);
      const within = (share) => Math.min(1 - edge, Math.max(edge, share));
      view.x = within(view.x + dx / full);
      view.y = within(view.y + dy / full);
      lay();
    };

    bar.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) zoomTo(Number(button.dataset.zoom));
    });
    grid.addEventListener("click", (event) => {
      const button = event.target.closest("[data-key]");
      if (button) tell("click", { key: button.dataset.key });
    });
    grid.addEventListener("dblclick", (event) => {
      if (event.target.closest(".tile-port")) zoomTo(view.zoom ? 0 : 1);
    });
    grid.addEventListener("keydown", (event) => {
      const port = event.target.closest(".tile-port");
      // With a modifier, + and − are the browser's own zoom.
      if (!port || event.altKey || event.ctrlKey || event.metaKey) return;
      const d = STEP * port.clientWidth;
      const moves = { ArrowLeft: [-d, 0], ArrowRight: [d, 0], ArrowUp: [0, -d], ArrowDown: [0, d] };
      const zooms = ZOOMS.map(([zoom]) => zoom), here = zooms.indexOf(view.zoom);
      if (moves[event.key] && view.zoom) move(port, ...moves[event.key]);
      else if (event.key === "+" || event.key === "=") zoomTo(zooms[Math.min(zooms.length - 1, here + 1)]);
      else if (event.key === "-") zoomTo(zooms[Math.max(0, here - 1)]);
      else if (event.key === "0") zoomTo(0);
      else return;
      event.preventDefault();
    });
    grid.addEventListener("pointerdown", (event) => {
      const port = event.target.closest(".tile-movable");
      if (!port || event.button !== 0 || !event.isPrimary) return;
      let [x, y] = [event.clientX, event.clientY];
      port.setPointerCapture(event.pointerId);
      // Another finger on the same picture has its own place.
      const drag = (e) => {
        if (e.pointerId !== event.pointerId) return;
        move(port, x - e.clientX, y - e.clientY);
        [x, y] = [e.clientX, e.clientY];
      };
      const drop = (e) => {
        if (e.pointerId !== event.pointerId) return;
        port.removeEventListener("pointermove", drag);
        for (const name of ["pointerup", "pointercancel"]) port.removeEventListener(name, drop);
      };
      port.addEventListener("pointermove", drag);
      for (const name of ["pointerup", "pointercancel"]) port.addEventListener(name, drop);
    });
    // A picture's size is known, and a hidden tab's width, only later.
    grid.addEventListener("load", lay, true);
    new ResizeObserver(lay).observe(grid);

    const shape = (place) => [...place.children].map((row) => [row.getAttribute("style"), row.children.length]).join();
    // A grid at work is drawn anew all the time: what did not change stays, so that no press on it is lost.
    const put = (html) => {
      const fresh = document.createElement("template");
      fresh.innerHTML = html;
      const there = [...grid.querySelectorAll(".tile")], next = [...fresh.content.querySelectorAll(".tile")];
      for (const tile of next) tile.source = tile.outerHTML;
      if (shape(grid) !== shape(fresh.content)) grid.replaceChildren(fresh.content);
      else next.forEach((tile, i) => { if (tile.source !== there[i].source) there[i].replaceWith(tile); });
    };
    const show = () => {
      // Nor may it take the focus from who is in it.
      const active = document.activeElement, nth = ports().indexOf(active), key = grid.contains(active) && active.dataset.key;
      put(read() ?? "");
      root.hidden = !grid.firstElementChild;
      bar.hidden = !grid.querySelector(".tile-port") || grid.querySelector("[data-plain]") !== null;
      const focused = key ? grid.querySelector(`[data-key="${CSS.escape(key)}"]`) : ports()[nth];
      focused?.focus({ preventScroll: true });
      lay();
    };
    watch(show);
    show();
  };
  window.ImagenTiles = { mount };
})();

// Tiles: pictures of one scene side by side that zoom and move together. A document sees them as window.ImagenTiles.

import { listenToDrags } from "./drag.js";
import { replace } from "./replace.js";
import { keyAction, offset, within, ZOOMS } from "./zoom.js";

// An enlarged part shows one of so many along each side.
const CROP = 4;
const HINT = "1:1 is one screen pixel for each pixel of the largest picture. Drag, or arrow keys, + and −.";

/** The bar of zooms above the grid. */
const fillBar = (bar) => {
  for (const [zoom, label] of ZOOMS) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.dataset.zoom = zoom;
    bar.append(button);
  }
  const hint = document.createElement("span");
  hint.textContent = HINT;
  bar.append(hint);
};

/** Puts a part of its picture, enlarged, below each picture that asks for it. */
const addCrops = (grid) => {
  for (const tile of grid.querySelectorAll(".tile[data-crop]")) {
    if (tile.querySelector("[data-crop]")) continue;
    const crop = tile.firstElementChild.cloneNode(true);
    crop.dataset.crop = CROP;
    crop.setAttribute("aria-label", `Enlarged: ${crop.getAttribute("aria-label")}`);
    tile.firstElementChild.after(crop);
  }
};

class Tiles {
  constructor(root, tell) {
    this.root = root;
    root.innerHTML = '<div class="tiles-bar" role="toolbar" aria-label="Zoom"></div><div class="tiles-grid"></div>';
    [this.bar, this.grid] = root.children;
    // Which point of the scene, as a share of it, stands in the middle.
    this.view = { zoom: 0, x: 0.5, y: 0.5 };
    fillBar(this.bar);
    this.listen(tell);
    // A picture's size, and a hidden tab's width, are known only later.
    this.grid.addEventListener("load", () => this.lay(), true);
    new ResizeObserver(() => this.lay()).observe(this.grid);
  }

  listen(tell) {
    this.bar.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.zoomTo(Number(button.dataset.zoom));
    });
    this.grid.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-key]");
      if (button) tell("click", { key: button.dataset.key });
    });
    this.grid.addEventListener("dblclick", ({ target }) => {
      if (target.closest(".tile-port")) this.zoomTo(this.view.zoom ? 0 : 1);
    });
    this.grid.addEventListener("keydown", (event) => this.key(event));
    listenToDrags(this.grid, (port, dx, dy) => this.move(port, dx, dy));
  }

  get ports() {
    return [...this.grid.querySelectorAll(".tile-port")];
  }

  /** Side of a zoomed picture in CSS pixels. */
  get side() {
    const widths = this.ports.map((port) => port.firstElementChild.naturalWidth || 1);
    return (this.view.zoom * Math.max(1, ...widths)) / (window.devicePixelRatio || 1);
  }

  /** Side of the picture in a port, in CSS pixels; an enlarged part keeps its own zoom. */
  sideIn(port, side = this.side) {
    const room = port.clientWidth;
    return port.dataset.crop ? CROP * room : this.view.zoom ? side : room;
  }

  lay() {
    const { zoom, x, y } = this.view;
    const side = this.side;
    for (const port of this.ports) {
      const room = port.clientWidth;
      const full = this.sideIn(port, side);
      const image = port.firstElementChild;
      image.style.width = `${full}px`;
      image.style.transform = `translate(${offset(x, room, full)}px, ${offset(y, room, full)}px)`;
      port.classList.toggle("tile-movable", full > room + 1);
    }
    for (const button of this.bar.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === zoom));
    }
  }

  zoomTo(zoom) {
    this.view.zoom = zoom;
    this.lay();
  }

  move(port, dx, dy) {
    const { zoom, x, y } = this.view;
    const full = this.sideIn(port);
    const room = port.clientWidth;
    if (full <= room) return;
    this.view = { zoom, x: within(x + dx / full, room, full), y: within(y + dy / full, room, full) };
    this.lay();
  }

  key(event) {
    const port = event.target.closest(".tile-port");
    // With a modifier, + and − are the browser's own zoom.
    if (!port || event.altKey || event.ctrlKey || event.metaKey) return;
    const action = keyAction(event.key, this.view.zoom, port.clientWidth, port.dataset.crop);
    if (!action) return;
    if (action.move) this.move(port, ...action.move);
    else this.zoomTo(action.zoom);
    event.preventDefault();
  }

  /** Shows new HTML; the focus stays where it was. */
  show(html) {
    const { bar, grid } = this;
    const active = document.activeElement;
    const nth = this.ports.indexOf(active);
    const key = grid.contains(active) && active.dataset.key;
    replace(grid, html ?? "");
    addCrops(grid);
    this.root.hidden = !grid.firstElementChild;
    bar.hidden = !grid.querySelector(".tile-port") || grid.querySelector("[data-plain]") !== null;
    const focused = key ? grid.querySelector(`[data-key="${CSS.escape(key)}"]`) : this.ports[nth];
    focused?.focus({ preventScroll: true });
    this.lay();
  }
}

export const create = () => ({
  /** place: an element; read(): the HTML now; watch(changed): calls changed() on new HTML; tell(event, value): reports. */
  mount: (place, read, watch, tell) => {
    const tiles = new Tiles(place.querySelector(".tiles-place"), tell);
    const show = () => tiles.show(read());
    watch(show);
    show();
  },
});

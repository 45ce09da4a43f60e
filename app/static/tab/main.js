// The script of the tab's page, index.html (app/site.py).

import { App } from "./app.js";
import { sha256 } from "./engine/sha256.js";
import { isolate } from "./isolation.js";

// Without https a browser has no digests of its own.
const digest = async (bytes) =>
  globalThis.crypto?.subtle ? crypto.subtle.digest("SHA-256", bytes) : sha256(new Uint8Array(bytes));

const at = (id) => document.getElementById(id);

export const create = (given) => {
  const places = {
    player: at("player"),
    ask: at("ask"),
    side: at("side"),
    learn: at("lessons-place"),
    tabs: [...document.querySelectorAll("[data-tab]")],
    parts: { see: at("see"), learn: at("learn") },
  };
  const { ImagenPlayer: player, ImagenLearn: lessons, ImagenPack: pack } = window;
  const app = new App(given, places, { player, lessons, pack, text: at("lessons").textContent, digest });
  isolate({ busy: () => app.touched });
  return app;
};

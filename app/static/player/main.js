// What a document sees of the player, as window.ImagenPlayer.

import { Player } from "./player.js";
import { keep, RULES, sorted } from "./rules.js";
import { prepare, stateOf } from "./state.js";
import { histogram } from "./values.js";

/** engine: { burnt, styles, schemas } from app/parts/player.py. The rules are there for tests. */
export const create = (engine) => ({
  /** place: an element; read(): the value now; watch(changed): calls changed() when there is a new one.
   *
   * For `site` see Player.
   */
  mount: (place, read, watch, site) => {
    const player = new Player(place.querySelector(".player-place") ?? place, engine, site);
    const changed = () => player.show(read());
    watch(changed);
    changed();
    return player;
  },
  prepare,
  stateOf,
  RULES,
  keep,
  sorted,
  histogram,
});

// New values of a grid of tiles: what did not change stays, so that no press on it is lost.

/** Which of the new tiles differ from the old ones, by index; null where the rows have another shape. */
export const changes = (old, next) => {
  if (old.shape !== next.shape) return null;
  return next.sources.flatMap((source, i) => (source === old.sources[i] ? [] : [i]));
};

/** Rows and columns as text; the columns stand in each row's style. */
const shapeOf = (place) => [...place.children].map((row) => [row.getAttribute("style"), row.children.length]).join();

const tilesOf = (place) => [...place.querySelectorAll(".tile")];

/** Shows HTML in the grid; tiles whose own HTML is the same are left alone. */
export const replace = (grid, html) => {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const next = tilesOf(fresh.content);
  const old = tilesOf(grid);
  for (const tile of next) tile.source = tile.outerHTML;
  const sources = (tiles) => tiles.map((tile) => tile.source);
  const changed = changes(
    { shape: shapeOf(grid), sources: sources(old) },
    { shape: shapeOf(fresh.content), sources: sources(next) },
  );
  if (changed) for (const i of changed) old[i].replaceWith(next[i]);
  else grid.replaceChildren(fresh.content);
};

// What a document sees of the lessons, as window.ImagenLearn.

import { Lessons } from "./lessons.js";

/** What a link's query asks for. */
const queryIn = (search) => {
  const query = new URLSearchParams(search);
  return { language: query.get("lang"), lesson: query.get("lesson") ?? undefined, step: query.get("step") ?? 1 };
};

export const create = () => ({
  /** text: JSON of app/parts/learning.py; search: the query of the page's address; for the rest see Lessons. */
  mount: (place, text, { kit, load, attempt, search = location.search }) => {
    const options = { ...JSON.parse(text), kit, load, attempt, query: queryIn(search) };
    return new Lessons(place.querySelector(".learn-place") ?? place, options);
  },
});

// Where a reader stands: a language, a lesson and a step, both counted from 1.

const whole = (value) => (/^\d{1,4}$/.test(String(value)) ? Number(value) : 0);

/** The place nearest to one that a link asked for, or null where there is no such lesson. */
export const placeOf = (shelf, { language, lesson, step } = {}) => {
  const known = Object.hasOwn(shelf, language ?? "") ? language : Object.keys(shelf)[0];
  const index = shelf[known].findIndex(({ number }) => number === whole(lesson));
  if (index < 0) return null;
  const at = whole(step ?? 1) - 1;
  return { language: known, lesson: index, step: at >= 0 && at < shelf[known][index].steps.length ? at : 0 };
};

/** The place one step on or back; past the last lesson comes the first. */
export const moved = (shelf, { language, lesson, step }, by) => {
  const lessons = shelf[language];
  const to = step + by;
  if (to >= 0 && to < lessons[lesson].steps.length) return { language, lesson, step: to };
  const other = (lesson + by + lessons.length) % lessons.length;
  return { language, lesson: other, step: by > 0 ? 0 : lessons[other].steps.length - 1 };
};

/** The query of a link to a place. */
export const queryOf = (shelf, { language, lesson, step }) => {
  const pairs = { lesson: shelf[language][lesson].number };
  if (step) pairs.step = step + 1;
  if (language !== Object.keys(shelf)[0]) pairs.lang = language;
  return `?${new URLSearchParams(pairs)}`;
};

// The threshold rules that the player applies itself: a second copy of imagen_core/diffusion/thresholding.py, which
// tests/app/parts/test_player.py holds to the first on whole pictures.

/** |values| in rising order. */
export const sorted = (values) => values.map(Math.abs).sort();

const quantile = (ranked, q) => {
  const place = q * (ranked.length - 1);
  const below = Math.floor(place);
  const lower = ranked[below];
  const upper = ranked[Math.min(below + 1, ranked.length - 1)];
  return lower + (place - below) * (upper - lower);
};

/** The divisor s of each rule, from the values that `sorted` returns, a percentile in [0, 100] and a cap or null. */
export const RULES = {
  none: () => 1,
  static: () => 1,
  dynamic: (ranked, percentile, cap) => Math.min(Math.max(quantile(ranked, percentile / 100), 1), cap ?? Infinity),
};

/** One value after a rule with divisor s. */
export const keep = (rule, x, s) => (rule === "none" ? x : Math.max(-s, Math.min(s, x)) / s);

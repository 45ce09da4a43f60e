// Numbers as text.

/** A share in [0, 1] as a percentage: "14 %", "4.4 %", "< 0.1 %". */
export const percent = (share) => {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  return `${share >= 0.0995 || share === 0 ? Math.round(100 * share) : (100 * share).toFixed(1)} %`;
};

/** A number with fixed digits and a true minus sign. JSON has no infinity: null stands for it. */
export const number = (value, digits = 2) => (value === null ? "∞" : value.toFixed(digits).replace("-", "−"));

/** A slider moves by tenths, but a request may hold more digits. */
export const tenths = (value) => (+value.toFixed(1) === value ? value.toFixed(1) : String(+value.toFixed(3)));

// The heading of a run, and which of its tracks is in front.

/** The heading's facts: what kind of run, and its settings. */
export const headOf = (data) => {
  const { kind, tracks, planned, title, note, request, asked } = data;
  const stopped = kind === "recording" && data.steps.at(-1).step < planned;
  const recorded = title ? `Recorded run: ${title}` : stopped ? "Stopped run" : "Your run";
  const last = kind === "live" ? note : tracks.length > 1 ? `same noise, ${tracks.length} rules` : "";
  const near = (asked ?? tracks[0].w) === tracks[0].w ? "" : `, the nearest recorded to ${asked}`;
  const facts = [`w = ${tracks[0].w}${near}`, `seed ${request.seed}`, `${planned} steps`, last];
  return { state: kind === "live" ? "Sampling" : recorded, facts: facts.filter(Boolean).join(" · ") };
};

/** The track in front: the chosen one, or the one that the page picked, or dynamic, or the last. */
export const frontOf = ({ tracks, picked }, selected) =>
  tracks.find((track) => track.label === selected) ??
  tracks.find((track) => track.label === picked) ??
  tracks.find((track) => track.rule === "dynamic") ??
  tracks.at(-1);

// The keys of the player.

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Answers a key: arrows move the probe on a picture and the step elsewhere, space on the scrubber plays. */
export const press = (player, event) => {
  if (player.data?.kind !== "recording" || event.altKey || event.ctrlKey || event.metaKey) return;
  const { target, key } = event;
  const move = MOVES[key];
  if (target.classList.contains("pl-picture") && move) {
    const [x, y] = player.probe.pixel;
    player.probe.move(player.data, x + move[0], y + move[1]);
    player.draw();
  } else if (key === " " && target === player.transport.scrubber) {
    if (player.timer) player.pause();
    else player.play();
  } else if (move?.[0] && !target.matches("input, select")) {
    player.pause();
    player.go(player.at + move[0]);
  } else return;
  event.preventDefault();
};

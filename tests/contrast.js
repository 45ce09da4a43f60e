() => {
  const parse = (text) => (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // What a colour looks like on what lies behind it, for as many layers as are not opaque.
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers
      .reverse()
      .reduce((under, [r, g, b, a = 1]) => under.map((x, i) => [r, g, b][i] * a + x * (1 - a)), [255, 255, 255]);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!words.length || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(":disabled, [aria-disabled=true], [aria-hidden=true], script, style, option, noscript"))
      continue;
    if (element.closest("label")?.querySelector(":disabled")) continue;
    const style = getComputedStyle(element),
      svg = element instanceof SVGElement;
    const ground = behind(element),
      [r, g, b, a = 1] = parse(svg ? style.fill : style.color);
    const ink = [r, g, b].map((x, i) => x * a + ground[i] * (1 - a));
    const [low, high] = [light(ink), light(ground)].sort((x, y) => x - y),
      ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize),
      large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${words[0].textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
};

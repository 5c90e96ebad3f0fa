// The forest plot that is a column of the table: of every row a dot per person, the mean with its interval, and lines
// for the controls, all on the axis of the measure.
"use strict";
window.Forest = (() => {
  const { measure } = window.View;
  const { make, draw, number } = window.Dom;
  const HEIGHT = 24;

  const share = (value) => {
    const [low, high] = Score.bounds();
    return Math.round((10000 * (value - low)) / (high - low)) / 100;
  };
  const path = (kind, d) => draw("path", { class: kind, d, "vector-effect": "non-scaling-stroke" });
  // The same for everybody: people over each other in three lanes, so that many stay apart.
  const LANES = [8, 12, 16];
  const dots = (scores) =>
    Score.known(scores).map((score, i) => `M${share(score)} ${LANES[i % LANES.length]}h.01`).join("");

  function row(line) {
    if (Number.isNaN(line.score)) return make("span", { class: "muted" }, "incomplete");
    const range = line.interval ? `, 95 % from ${number(line.interval[0])} to ${number(line.interval[1])}` : "";
    const words = `${number(line.score)}${range}, ${line.people} people`;
    const plot = draw("svg", { class: "forest", viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
      ...line.controls.map(({ kind, line: control }) => path(`line-${kind}`, `M${share(control.score)} 0V${HEIGHT}`)),
      path("dots", dots(line.scores)),
      line.interval ? path("range", `M${share(line.interval[0])} 12H${share(line.interval[1])}`) : null,
      path("mean", `M${share(line.score)} 6V18`));
    return make("span", {}, make("b", {}, number(line.score)), plot);
  }
  // The axis over the column.
  function axis() {
    const [low, high] = Score.bounds();
    return [low, (low + high) / 2, high].map((tick) => make("span", {}, String(tick)));
  }
  // What the marks mean, with the values of the controls; noise has several where budgets differ.
  function key(lines) {
    const found = new Map();
    for (const { controls } of lines) for (const { kind, words, line } of controls) found.set(kind, { words, lines: (found.get(kind)?.lines ?? new Set()).add(line) });
    const sample = (kind, d) => draw("svg", { class: "forest sample", viewBox: "0 0 24 24", "aria-hidden": "true" }, path(kind, d));
    const controls = [...found].map(([kind, { words, lines }]) => {
      const values = lines.size === 1 ? ` ${number([...lines][0].score)}` : " at the row's budget";
      return make("li", {}, sample(`line-${kind}`, "M12 0V24"), `${words}${values}`);
    });
    return [...controls, make("li", {}, sample("dots", "M12 12h.01"), "a person"),
      make("li", {}, sample("range", "M2 12H22"), "mean, 95 %"), make("li", {}, measure().lower ? "left protects better" : "right protects better")];
  }
  return { row, axis, key };
})();

// The plots, as Vega-Lite specifications of what the board shows.
"use strict";
window.Plots = (() => {
  const { state, group, measure } = window.View;
  const { by, make } = window.Dom;

  function config() {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
    const ink = colour("--ink"), line = colour("--line");
    return {
      background: null, font: "system-ui, sans-serif", view: { stroke: null },
      axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line },
      legend: { labelColor: ink, titleColor: ink, symbolOpacity: 1, labelLimit: 220 }, title: { color: ink }, header: { labelColor: ink, titleColor: ink },
    };
  }
  // Okabe and Ito's colours, which most colour-blind people tell apart, each with one shape and then another: no two cloaks
  // look alike, and each looks the same in all plots of a group. Controls are grey.
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7a00"];
  const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"];
  const DASHES = [[1, 0], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [4, 2, 1, 2]];
  function looks() {
    const names = (control) => [...new Set(group().rows.filter((row) => row.control === control && row.name !== "base").map((row) => row.series))].sort();
    const cloaks = names(false), controls = names(true), domain = [...cloaks, ...controls];
    const turn = (list, i) => list[Math.floor(i / COLOURS.length) % list.length], each = (of, control) => [...cloaks.map((_, i) => of(i)), ...controls.map((_, i) => control(i))];
    const scale = (range) => ({ field: "series", type: "nominal", title: "cloak", scale: { domain, range } });
    return {
      color: scale(each((i) => COLOURS[i % COLOURS.length], () => "#808080")),
      shape: scale(each((i) => turn(SHAPES, i), (i) => SHAPES[(i + 1) % SHAPES.length])),
      strokeDash: scale(each((i) => turn(DASHES, i), (i) => DASHES[(i + 1) % DASHES.length])),
    };
  }
  // 800 kB that a reader of the table need not wait for.
  const LIBRARY = ["vega", "vega-lite", "vega-embed"];
  let library = null;
  const loaded = () => (library ??= LIBRARY.reduce((before, name) => before.then(() => script(name)), Promise.resolve()));
  const script = (name) =>
    new Promise((resolve, reject) =>
      document.head.append(make("script", { src: `vendor/${name}.min.js`, onload: resolve, onerror: reject })));

  async function draw(id, spec, words, empty = false) {
    const element = by(id);
    if (empty) return element.replaceChildren(make("p", { class: "note" }, "Nothing to draw for this choice."));
    const whole = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container", ...spec };
    await loaded();
    await vegaEmbed(element, { ...whole, description: words }, { actions: { export: true, source: false, compiled: false, editor: false },
      config: config(), renderer: "svg", ast: true });
    element.querySelector("summary").setAttribute("aria-label", `save this plot: ${words}`);
    return element;
  }
  const scale = () => ({ domain: Score.bounds(), nice: false });
  const title = () => `${measure().name} (${state.over === "worst" ? "worst attack" : "mean over attacks"})`;
  const better = () => (measure().lower ? "lower protects better" : "higher protects better");

  // Rows with a score, as plain records.
  const records = (lines) =>
    lines.filter((l) => !Number.isNaN(l.score)).map((l) => ({
      label: l.row.label, name: l.row.name, series: l.row.series, budget: l.row.budget, score: l.score, low: l.interval?.[0] ?? l.score,
      high: l.interval?.[1] ?? l.score, psnr: Score.sight(l.row, "psnr"), ssim: Score.sight(l.row, "ssim"),
      seconds: l.row.seconds, evaluations: l.row.evaluations, control: l.row.control,
    }));

  // Cloaks that no other beats in both: at least as good to see through and at least as protective.
  function front(all, good) {
    const rows = all.filter((r) => !r.control);
    const better = (a, b) => good(a) >= good(b) && (measure().lower ? a.score <= b.score : a.score >= b.score);
    return rows.filter((r) => !rows.some((o) => o !== r && better(o, r) && !better(r, o)));
  }
  function against(id, lines, field, name, good, log) {
    const rows = records(lines).filter((r) => r[field] !== null && Number.isFinite(r[field]) && r.budget > 0 && (!log || r[field] > 0));
    const x = { field, type: "quantitative", title: name, ...(log ? { scale: { type: "log" }, axis: { tickCount: 5, grid: false } } : { scale: { zero: false } }) };
    const y = { field: "score", type: "quantitative", title: title(), scale: scale() };
    const { color, shape } = looks();
    return draw(id, { height: 320, layer: [
      { data: { values: front(rows, good) }, mark: { type: "line", color: "#888888", strokeDash: [4, 4], interpolate: "monotone" }, encoding: { x, y, order: { field } } },
      { data: { values: rows }, mark: { type: "rule", opacity: 0.5 }, encoding: { x, y: { field: "low", type: "quantitative", title: title() }, y2: { field: "high" }, color } },
      { data: { values: rows }, mark: { type: "point", filled: true, size: 90, opacity: 1 }, encoding: { x, y, color, shape, tooltip: [{ field: "label" }, { field, format: ".2f" }, { field: "score", format: ".2f" }, { field: "low", format: ".2f" }, { field: "high", format: ".2f" }] } },
    ] }, `${title()} against ${name}`, !rows.length);
  }
  function curves(lines) {
    const rows = records(lines).filter((r) => r.budget !== null && r.budget > 0);
    const clean = records(lines).filter((r) => r.name === "clean").slice(0, 1); // everybody's, if there is one
    const x = { field: "budget", type: "quantitative", title: "budget, grey levels of 255" };
    const { color, strokeDash } = looks();
    return draw("plot-budget", { height: 320, layer: [
      { data: { values: clean }, mark: { type: "rule", strokeDash: [2, 3], color: "#888888" }, encoding: { y: { field: "score", type: "quantitative" } } },
      // Many bands over each other show nothing: those of the series chosen in the legend come out.
      { data: { values: rows }, params: [{ name: "chosen", select: { type: "point", fields: ["series"] }, bind: "legend" }], mark: { type: "area" },
        encoding: { x, y: { field: "low", type: "quantitative", scale: scale(), title: title() }, y2: { field: "high" }, color: { ...color, legend: { symbolType: "stroke", symbolStrokeWidth: 3 } },
          opacity: { condition: { param: "chosen", empty: false, value: 0.3 }, value: new Set(rows.map((r) => r.series)).size > 2 ? 0.04 : 0.15 } } },
      { data: { values: rows }, mark: { type: "line", point: true }, encoding: { x, y: { field: "score", type: "quantitative", scale: scale() }, color, strokeDash, tooltip: [{ field: "label" }, { field: "score", format: ".2f" }] } },
    ] }, `${title()} over the budget`, !rows.length);
  }
  function heatMap(lines) {
    const values = lines.flatMap((l) => state.attacks.map((a, i) => ({ label: l.row.label, attack: group().attacks[a], score: l.attacks[i] }))).filter((v) => !Number.isNaN(v.score));
    const order = [...new Set(values.map((v) => v.label))];
    const x = { field: "attack", type: "nominal", title: null, axis: { labelAngle: -30 }, sort: null };
    const y = { field: "label", type: "nominal", title: null, sort: order, axis: { labelLimit: 320 } };
    return draw("plot-heat", { height: 24 * order.length, data: { values }, layer: [
      { mark: "rect", encoding: { x, y, color: { field: "score", type: "quantitative", title: measure().name, scale: { domain: Score.bounds(), scheme: "viridis", reverse: measure().lower } } } },
      { mark: { type: "text", fontSize: 11 }, encoding: { x, y, text: { field: "score", format: ".2f" }, color: { condition: { test: `datum.score ${measure().lower ? "<" : ">"} ${(Score.bounds()[0] + Score.bounds()[1]) / 2}`, value: "#111111" }, value: "#ffffff" } } },
    ] }, `${measure().name} of every defense against every attack`, !values.length);
  }

  function show({ lines, all }) {
    by("plots-note").textContent = `${title()}; ${better()}. Bars and bands are 95 % intervals over people; the dashed line joins the cloaks that no other beats in both respects. Click a defense in the legend of the curves to see its band.`;
    return Promise.all([
      against("plot-sight", lines, "psnr", "PSNR of the cloaked photos, dB (right: harder to see)", (r) => r.psnr, false),
      curves(all), heatMap(lines),
      against("plot-cost", lines, "seconds", "seconds per person", (r) => -r.seconds, true),
      against("plot-evaluations", lines, "evaluations", "network evaluations a photo", (r) => -r.evaluations, true),
    ]);
  }
  return { show, draw, scale, title, front, looks };
})();

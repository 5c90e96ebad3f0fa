// Building elements without ever parsing text as markup: what came from a file is only ever text.
"use strict";
window.Dom = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }
  const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const number = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
  const percent = (value) => `${Math.round(100 * value)} %`;
  const by = (id) => document.getElementById(id);

  // For the one library that takes markup where we have text: titles of columns.
  const escape = (text) => make("i", {}, text).innerHTML;

  // A mean and its interval on the scale of the measure.
  function whisker(score, interval, bounds, tone) {
    const at = (v) => 4 + (112 * (v - bounds[0])) / (bounds[1] - bounds[0]);
    const range = interval ?? [score, score];
    const text = `${number(score)}${interval ? `, 95 % from ${number(interval[0])} to ${number(interval[1])}` : ""}`;
    return draw("svg", { class: `whisker ${tone}`, viewBox: "0 0 120 16", role: "img", "aria-label": text },
      draw("line", { class: "axis", x1: 4, x2: 116, y1: 8, y2: 8 }),
      draw("line", { class: "range", x1: at(range[0]), x2: at(range[1]), y1: 8, y2: 8 }),
      draw("circle", { cx: at(score), cy: 8, r: 3.5 }));
  }
  return { make, draw, number, percent, by, escape, whisker };
})();

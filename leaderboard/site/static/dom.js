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
  // Names of rows with settings that are lists, for reading.
  const readable = (label) => label.replaceAll(/[[\]"]/g, "");
  const percent = (value) => `${Math.round(100 * value)} %`;
  const by = (id) => document.getElementById(id);

  return { make, draw, number, percent, readable, by };
})();

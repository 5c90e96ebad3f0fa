// Some rows beside each other: paired differences, and the same people, prompts and noise.
"use strict";
window.Compare = (() => {
  const { state, group, measure, toggle } = window.View;
  const { make, number, readable, by } = window.Dom;

  const chosen = (lines) => state.compare.map((id) => lines.find((l) => l.row.id === id)).filter(Boolean);

  // The rows that are compared, each with a button to leave it out, and all others to choose from.
  function picker(lines, rows) {
    const choose = make("select", { id: "compare-add", onchange: (event) => toggle("compare", event.target.value) },
      make("option", { value: "" }, "add a row"),
      ...lines.filter((line) => !rows.includes(line)).map(({ row }) => make("option", { value: row.id }, row.label)));
    const leave = ({ row }) => make("button", { type: "button", "aria-label": `leave out ${row.label}`, onclick: () => toggle("compare", row.id) }, `${readable(row.label)} ×`);
    const focused = by("compare-rows").contains(document.activeElement);
    by("compare-rows").replaceChildren(...rows.map(leave), make("label", {}, "Compare with ", choose));
    if (focused) choose.focus();
  }

  function show({ lines }) {
    const rows = chosen(lines), place = by("compare-text");
    picker(lines, rows);
    if (rows.length < 2) {
      place.replaceChildren(make("p", {}, "Choose two rows or more: here, or by their boxes on the board. Controls can be compared, too."));
      by("plot-compare").replaceChildren();
      return null;
    }
    const pairs = Stats.compare(rows.map((line) => line.scores));
    const cells = pairs.map((pair) => {
      const [a, b] = [rows[pair.first], rows[pair.second]], interval = Stats.meanInterval(pair.differences);
      const winner = !pair.apart ? "cannot be told apart" : pair.difference < 0 === measure().lower ? a.row.label : b.row.label;
      return make("tr", {}, ...[
        `${readable(a.row.label)} − ${readable(b.row.label)}`, String(pair.people), number(pair.difference),
        interval ? `${number(interval[0])} to ${number(interval[1])}` : "–", number(pair.p, 3), number(pair.adjusted, 3), readable(winner),
      ].map((value) => make("td", {}, value)));
    });
    const head = ["difference", "people", "mean", "95 %", "p", "p, all together", "protects better"];
    place.replaceChildren(make("table", { class: "plain" },
      make("caption", {}, `${Plots.title()}, person by person on the same noise`),
      make("thead", {}, make("tr", {}, ...head.map((h) => make("th", { scope: "col" }, h)))), make("tbody", {}, ...cells)));
    const values = rows.flatMap((line) => line.scores.map((score, p) => ({ row: line.row.label, person: group().people[p], score })))
      .filter((v) => !Number.isNaN(v.score));
    const order = rows.map((line) => line.row.label);
    return Plots.draw("plot-compare", { height: 300, data: { values },
      encoding: { x: { field: "row", type: "nominal", sort: order, title: null, axis: { labelAngle: 0 } },
        y: { field: "score", type: "quantitative", title: Plots.title(), scale: Plots.scale() } },
      layer: [
        { mark: { type: "line", opacity: 0.35 }, encoding: { detail: { field: "person" } } },
        { mark: { type: "point", filled: true, size: 60 }, encoding: { tooltip: [{ field: "person" }, { field: "score", format: ".2f" }] } },
        { mark: { type: "tick", thickness: 3, color: "#d55e00", width: 40 }, encoding: { y: { aggregate: "mean", field: "score" } } },
      ] }, `${Plots.title()} of every person under the rows`, !values.length);
  }
  return { show, chosen };
})();

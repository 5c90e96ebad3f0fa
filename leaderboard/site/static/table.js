// The board: one row per cloak, in a DataTable; controls stand below it.
"use strict";
window.Board = (() => {
  const { state, group, measure, data, change } = window.View;
  const { make, number, by } = window.Dom;
  let table = null;

  // What is missing goes last, whichever way a column is sorted; texts as people count: 8/255 before 16/255.
  const collator = new Intl.Collator("en", { numeric: true });
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  const missing = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);
  const lastly = (sign) => (a, b) => (missing(a) || missing(b) ? missing(a) - missing(b) : sign * order(a, b));
  const sorting = { pre: (value) => value, asc: lastly(1), desc: lastly(-1) };
  DataTable.type("words", { order: sorting });
  DataTable.type("number", { order: sorting, className: "dt-type-numeric" });

  // Cells are shown as elements, and sorted and searched by their values.
  const column = ({ name, value, element, type, orderable, className, responsivePriority }) => ({
    name, data: null, type, orderable, className, responsivePriority,
    render: (_, kind, line) => {
      if (kind === "display") return element(line);
      const found = value(line);
      return missing(found) ? null : found;
    },
  });
  const heading = ({ name, head, note, text }) =>
    make("th", { scope: "col", title: text }, head, note ? make("small", {}, note) : null, name === "score" ? make("span", { class: "axis" }, ...Forest.axis()) : null);

  function show(board) {
    const lines = board.lines.filter((line) => !line.row.control), all = Columns.all(lines);
    if (table) table.destroy();
    by("table").replaceChildren(make("thead", {}, make("tr", {}, ...all.map(heading))));
    const wanted = state.sort.match(/^(.+)\.(asc|desc)$/), place = (name) => all.findIndex((c) => c.name === name), sorted = place(wanted?.[1]);
    table = new DataTable("#table", {
      data: lines, columns: all.map(column), paging: lines.length > 200, pageLength: 100, lengthChange: false,
      // Columns for which a narrow screen has no room: their elements move under the row, as they are.
      responsive: { details: { renderer: DataTable.Responsive.renderer.listHiddenNodes() } },
      order: sorted >= 0 ? [[sorted, wanted[2]]] : [[place("score"), measure().lower ? "asc" : "desc"]],
      search: { search: state.search }, autoWidth: false,
      layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
      language: { emptyTable: "No row for this choice.", info: "_TOTAL_ rows", infoEmpty: "no rows" },
    });
    table.on("order", () => {
      const [first] = table.order(), direction = first?.[1];
      if (first && direction) change({ sort: `${all[first[0]].name}.${direction}` });
    });
    by("key").replaceChildren(...Forest.key(lines));
    by("column-texts").replaceChildren(...all.flatMap(({ head, text }) => [make("dt", {}, head), make("dd", {}, text)]));
    by("controls").replaceChildren(...controls(board));
    by("said").replaceChildren(...sentences(board).map((line) => make("li", {}, line)));
  }
  // The cloaks as they are shown: sorted and searched.
  const shown = () => table.rows({ order: "applied", search: "applied" }).data().toArray();

  // What the lines of the plot are, attack by attack.
  function controls({ lines }) {
    const head = ["control", measure().name, "95 %", "people", ...state.attacks.map((a) => group().attacks[a])];
    const rows = lines.filter((line) => line.row.control).map((line) => [
      make("a", { href: `rows/${group().id}-${line.row.id}.html` }, line.row.label), number(line.score),
      line.interval ? `${number(line.interval[0])} to ${number(line.interval[1])}` : "–", String(line.people), ...line.attacks.map((value) => number(value)),
    ]);
    return [make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))))];
  }

  function sentences({ lines, cloaks, ranked, pairs, noise }) {
    const apart = pairs.filter((p) => p.apart).length, t = group().threshold;
    const told = `${apart} of ${pairs.length} pairs`, how = "(sign flips over people, all questions of a family together)";
    const said = [noise ? `${ranked.length} of ${cloaks.length} cloaks beat noise at their budget; ${told} of these can be told apart ${how}.`
      : `There is no noise to compare with, so nothing shows that a cloak does more. ${told} can be told apart ${how}.`];
    const few = pairs.find((p) => p.undecided);
    if (few) said.push(`With ${few.people} people no two rows can ever be told apart.`);
    const judges = Object.keys(t).filter((name) => name.startsWith("own.")).map((name) => name.slice(4));
    if (judges.length) {
      said.push(`A picture leaks if ${judges.join(" or ")} recognises the person: at thresholds of that person's own, which ${number(100 * t.far / judges.length, 1)} % of the world's faces reach by each.`);
    } else if (t.ilr !== undefined) {
      said.push(`A picture leaks if its cosine to the person is at least ${number(t.ilr)}, where ${number(100 * t.far, 1)} % of strangers pass.`);
    }
    const clean = lines.find((line) => line.row.name === "clean");
    // Whatever the reader ranks by: an attack is judged by how much leaks of clean photos.
    const rate = data.measures.find((m) => m.key === "ilr");
    const leaks = clean ? Score.known(Score.people(clean.number, state.attacks, state.chains, state.over, rate).scores) : [];
    if (leaks.length && Stats.mean(leaks) < 0.5) {
      said.push(`Warning: on clean photos only ${number(Stats.mean(leaks))} leak; such attacks can hardly show what a cloak does.`);
    }
    if (leaks.length) {
      said.push(`Clean photos of ${leaks.filter((leak) => leak > 0).length} of ${leaks.length} people leak at all; of the others, no cloak can show anything.`);
    }
    const missing = lines.filter((line) => line.coverage < 1 && !Score.reference(line.row)).length;
    if (missing) said.push(`Incomplete for this choice: ${missing} of ${lines.length} rows. What was not tried was not survived.`);
    return said;
  }
  const search = (words) => table?.search(words).draw();
  // A tap anywhere on a row opens it, not on its small arrow alone.
  by("table").addEventListener("click", (event) => {
    if (!event.target.closest("a, input, .dtr-control, thead, .child")) event.target.closest("tr")?.querySelector(".dtr-control")?.click();
  });
  addEventListener("resize", () => table?.responsive.recalc()); // of itself it follows a phone that is turned alone
  return { show, search, shown };
})();

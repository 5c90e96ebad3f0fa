// The board: one row per defense, in a DataTable.
"use strict";
window.Board = (() => {
  const { state, group, measure, data, change, toggle, COLUMNS } = window.View;
  const { make, number, percent, by, escape, whisker } = window.Dom;
  let table = null;

  // What is missing goes last, whichever way a column is sorted; texts as people count: 8/255 before 16/255.
  const collator = new Intl.Collator("en", { numeric: true });
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  const missing = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);
  const lastly = (sign) => (a, b) => (missing(a) || missing(b) ? missing(a) - missing(b) : sign * order(a, b));
  const sorting = { pre: (value) => value, asc: lastly(1), desc: lastly(-1) };
  DataTable.type("words", { order: sorting });
  DataTable.type("number", { order: sorting, className: "dt-type-numeric" });

  // A column: its cells are shown as elements, and sorted and searched by their values.
  const at = (title, name, value, element, more = {}) => ({
    title, name, data: null, type: "number", ...more,
    render: (_, type, line) => {
      if (type === "display") return element(line);
      const found = value(line);
      return missing(found) ? null : found;
    },
  });

  function columns() {
    return [
      at("compare", "compare", () => null, picker, { type: "words", orderable: false, responsivePriority: 3 }),
      at("tier", "tier", (l) => l.tier, tier, { responsivePriority: 1 }),
      at("defense", "defense", (l) => l.row.label, title, { type: "words", responsivePriority: 1 }),
      at(COLUMNS.budget, "budget", (l) => l.row.budget, (l) => text(number(l.row.budget, 0))),
      at(escape(measure().name), "score", (l) => l.score, score, { responsivePriority: 1 }),
      at(COLUMNS.broken, "broken", (l) => l.broken, (l) => text(l.broken || "–"), { type: "words" }),
      ...state.attacks.map((a, i) =>
        at(words(group().attacks[a]), `attack-${a}`, (l) => l.attacks[i], (l) => heat(l.attacks[i]))),
      at(COLUMNS.psnr, "psnr", (l) => Score.sight(l.row, "psnr"), (l) => text(number(Score.sight(l.row, "psnr"), 1))),
      at(COLUMNS.seconds, "seconds", (l) => l.row.seconds, (l) => text(number(l.row.seconds, 1))),
      at(COLUMNS.passes, "passes", (l) => l.row.passes, (l) => text(number(l.row.passes, 0))),
      at(COLUMNS.coverage, "coverage", (l) => l.coverage, (l) => text(percent(l.coverage))),
    ].filter((column) => !state.hidden.includes(column.name));
  }
  // Headers may break where names have underscores.
  const words = (name) => escape(name.replaceAll("_", " "));
  const text = (value) => make("span", {}, value);
  function picker({ row }) {
    const box = make("input", { type: "checkbox", "aria-label": `compare ${row.label}`, onchange: () => toggle("compare", row.id) });
    box.checked = state.compare.includes(row.id);
    return box;
  }
  function tier(line) {
    if (line.row.control) return make("span", { class: "muted" }, "ref.");
    return line.tier ? make("span", { class: `tier tier-${Math.min(line.tier, 4)}` }, String(line.tier)) : text("–");
  }
  // Whether the maintainers ran what counts here of a row.
  function ran({ cells, verified }) {
    if (verified === cells) return make("span", { class: "badge good" }, "verified");
    return make("span", { class: "badge" }, verified ? `${verified} of ${cells} cells verified` : "self-reported");
  }
  // Whether somebody broke it, or says so.
  function broken({ others }) {
    const breaks = others.map((id) => data.entries[id]).filter((e) => e.kind === "break");
    if (breaks.some((e) => e.verified)) return make("span", { class: "badge bad" }, "broken by others");
    return breaks.length ? make("span", { class: "badge" }, "broken, say others") : null;
  }
  function title({ row, said, tier: own, ...line }) {
    const entry = data.entries[row.entry];
    return make("span", {},
      make("a", { href: `rows/${group().id}-${row.id}.html` }, row.label),
      row.control ? make("span", { class: "badge" }, "control") : null,
      said && !own ? make("span", { class: "badge bad" }, said) : null,
      entry ? ran(line) : null,
      broken(row),
      entry?.superseded_by ? make("span", { class: "badge bad" }, "superseded") : null);
  }
  function score(line) {
    if (Number.isNaN(line.score)) return make("span", { class: "muted" }, "incomplete");
    const tone = line.row.control ? "control" : "";
    return make("span", { class: "score" }, make("b", {}, number(line.score)), whisker(line.score, line.interval, Score.bounds(), tone));
  }
  // From white (protects) to the colour of a leak.
  function heat(value) {
    if (Number.isNaN(value)) return make("span", { class: "muted" }, "–");
    const { low, high, lower } = measure(), share = Math.min(Math.max((value - low) / (high - low), 0), 1);
    return make("span", { class: "heat", style: `--leak: ${Math.round(100 * (lower ? share : 1 - share))}%` }, number(value));
  }

  function show(board) {
    const { lines } = board;
    if (table) table.destroy();
    by("table").replaceChildren();
    const wanted = state.sort.match(/^(.+)\.(asc|desc)$/), all = columns();
    const place = (name) => all.findIndex((c) => c.name === name), column = place(wanted?.[1]);
    table = new DataTable("#table", {
      data: lines, columns: all, paging: lines.length > 200, pageLength: 100, lengthChange: false,
      // Columns for which a narrow screen has no room: their elements move under the row, as they are.
      responsive: { details: { renderer: DataTable.Responsive.renderer.listHiddenNodes() } },
      order: column >= 0 ? [[column, wanted[2]]] : [[place("score"), measure().lower ? "asc" : "desc"]],
      search: { search: state.search }, autoWidth: false,
      layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
      createdRow: (element, line) => element.classList.toggle("control-row", line.row.control),
      language: { emptyTable: "No row for this choice.", info: "_TOTAL_ rows", infoEmpty: "no rows" },
    });
    table.on("order", () => {
      const [first] = table.order(), direction = first?.[1];
      if (first && direction) change({ sort: `${all[first[0]].name}.${direction}` });
    });
    by("said").replaceChildren(...sentences(board).map((line) => make("li", {}, line)));
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
  addEventListener("resize", () => table?.responsive.recalc()); // of itself it follows a phone that is turned alone
  return { show, search, columns };
})();

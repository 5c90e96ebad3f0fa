// The columns of the board: what each shows, is sorted by, and says of itself.
"use strict";
window.Columns = (() => {
  const { state, group, measure, data, toggle, COLUMNS } = window.View;
  const { make, number, percent, readable } = window.Dom;

  const better = (lower) => (lower ? "lower is better" : "higher is better");
  // A column: a name, a heading with a short note below it, what it means, the value that it is sorted and searched by,
  // and what it shows.
  const at = (name, head, note, text, value, element, more = {}) => ({ name, head, note, text, value, element, type: "number", ...more });
  const plain = (name, note, text, value, digits) => at(name, COLUMNS[name], note, text, value, (line) => make("span", {}, number(value(line), digits)));

  function all(lines) {
    const clean = lines.flatMap((line) => line.controls).find(({ kind }) => kind === "none")?.line;
    const people = [...new Set(lines.map((line) => line.people).filter(Boolean))].sort((a, b) => a - b);
    const n = people.length > 1 ? `${people[0]} to ${people.at(-1)}` : String(people[0] ?? 0);
    return [
      at("compare", "compare", "", "Tick rows, then open Compare.", () => null, picker, { type: "words", orderable: false, className: "compare-column", responsivePriority: 6 }),
      at("defense", "cloak", "", "Its name, which leads to its settings and results, its year and paper, and whether the maintainers ran it.",
        (l) => l.row.label, title, { type: "words", responsivePriority: 1 }),
      at("score", measure().name, `${better(measure().lower)}, n = ${n}`, `${measure().text} A dot per person; the bar is the 95 % interval of the mean.`,
        (l) => l.score, Forest.row, { className: "forest-column", responsivePriority: 1 }),
      at("noise", "beats noise", "people", "Of how many people it leaves less than random noise at its budget. Not shown: chance would do as much, all cloaks asked together at 5 %.",
        (l) => (l.less ? (l.said === "beats noise") + l.less[0] / l.less[1] : null), noise, { responsivePriority: 2 }),
      at("rank", "rank", "places", "The places that it may have among the cloaks that beat noise: after all that are shown to be better, before all that are shown to be worse. Rows that share a place cannot be put in order.",
        (l) => (l.rank ? l.rank[0] + l.rank[1] / 1e4 : null), rank, { responsivePriority: 2 }),
      ...state.attacks.map((a, i) =>
        at(`attack-${a}`, group().attacks[a].replaceAll("_", " "), clean ? `clean ${number(clean.attacks[i])}` : "", `${measure().name} by this attack alone, mean over people; ${better(measure().lower)}. Below the name, that of photos without a cloak.`,
          (l) => l.attacks[i], (l) => heat(l.attacks[i]), { responsivePriority: 4 })),
      plain("recognised", "share, no attack", "Share of the cloaked photos themselves that a judge still recognises. Where it is low, even an attack that reproduces its photos does not leak.", (l) => Score.sight(l.row, "photos_recognised"), 2),
      plain("psnr", "higher is better", "How close the cloaked photos are to the clean ones, in dB: the higher, the harder the cloak is to see.", (l) => Score.sight(l.row, "psnr"), 1),
      plain("seconds", "lower is better", "Seconds to cloak one person's photos, on the machine that ran it: the median of the people.", (l) => l.row.seconds, 0),
      at("evaluations", COLUMNS.evaluations, "of published", "Network function evaluations: how often a photo went through the UNet to be cloaked, and how often it would with the published settings. The same on every machine.",
        (l) => l.row.evaluations, evaluations),
      plain("budget", "of 255", "The largest change of a pixel's value, in grey levels.", (l) => l.row.budget, 0),
      at("broken", COLUMNS.broken, "", "The attack and countermeasure by which most people leak most.", (l) => l.broken, (l) => make("span", {}, l.broken || "–"), { type: "words" }),
      at("coverage", COLUMNS.coverage, "of what is chosen", "Share of the chosen attacks, countermeasures and people that it was tried against. What was not tried was not survived.", (l) => l.coverage, (l) => make("span", {}, percent(l.coverage))),
    ].filter((column) => !state.hidden.includes(column.name));
  }

  function evaluations({ row }) {
    const published = row.published === null || !row.evaluations ? null : make("span", { class: "muted" }, ` of ${number(row.published, 0)}`);
    return make("span", {}, number(row.evaluations, 0), published);
  }
  function picker({ row }) {
    const box = make("input", { type: "checkbox", "aria-label": `compare ${row.label}`, onchange: () => toggle("compare", row.id) });
    box.checked = state.compare.includes(row.id);
    return box;
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
  function paper({ year, arxiv, where }) {
    if (!arxiv) return year ? make("span", { class: "muted" }, year) : null;
    return make("a", { class: "paper", href: `https://arxiv.org/abs/${arxiv}`, rel: "noopener noreferrer", title: where }, year || `arXiv ${arxiv}`);
  }
  function title({ row, ...line }) {
    const entry = data.entries[row.entry], apart = row.label.slice(row.name.length);
    return make("span", { class: "title" },
      make("a", { href: `rows/${group().id}-${row.id}.html` }, row.name, apart ? make("small", {}, readable(apart)) : null), " ",
      paper(row.cited),
      entry ? ran(line) : null,
      broken(row),
      entry?.superseded_by ? make("span", { class: "badge bad" }, "superseded") : null);
  }
  function noise({ less, said }) {
    if (!less) return make("span", { class: "muted", title: said || null }, said ? "no noise" : "–");
    const [count, people] = less, beats = said === "beats noise";
    const words = beats ? "" : said.startsWith("undecided") ? "too few " : "not shown ";
    return make("span", { class: beats ? "" : "muted", title: said }, words, beats ? make("b", {}, `${count} of ${people}`) : `(${count} of ${people})`);
  }
  function rank({ rank: places }) {
    if (!places) return make("span", { class: "muted" }, "–");
    return make("span", { class: "rank" }, places[0] === places[1] ? String(places[0]) : `${places[0]}–${places[1]}`);
  }
  // From white (protects) to the colour of a leak.
  function heat(value) {
    if (Number.isNaN(value)) return make("span", { class: "muted" }, "–");
    const { low, high, lower } = measure(), share = Math.min(Math.max((value - low) / (high - low), 0), 1);
    return make("span", { class: "heat", style: `--leak: ${Math.round(100 * (lower ? share : 1 - share))}%` }, number(value));
  }
  return { all };
})();

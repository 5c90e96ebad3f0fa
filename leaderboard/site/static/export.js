// What is on the board, as files: CSV, JSON, a LaTeX table, BibTeX. Cloaks in the order shown, then the controls.
"use strict";
window.Export = (() => {
  const { state, group, measure } = window.View;
  const { make, number } = window.Dom;

  // What is saved of a row: names of columns, and values. What does not exist is null. Attacks have whatever names their
  // authors gave them: with a word in front, one called "score" is not the score.
  function columns() {
    const names = state.attacks.map((a) => `attack ${group().attacks[a]}`);
    const attacks = names.map((name, i) => [names.indexOf(name) < i ? `${name} #${i + 1}` : name, (l) => finite(l.attacks[i])]);
    return [
      ["defense", (l) => l.row.label], ["kind", (l) => (l.row.control ? "control" : "cloak")], ["budget", (l) => l.row.budget],
      ["rank_low", (l) => l.rank?.[0] ?? null], ["rank_high", (l) => l.rank?.[1] ?? null], ["beside_noise", (l) => l.said ?? ""],
      ["people_below_noise", (l) => l.less?.[0] ?? null], ["people", (l) => l.people],
      ["score", (l) => finite(l.score)], ["low", (l) => finite(l.interval?.[0])], ["high", (l) => finite(l.interval?.[1])],
      ["broken_by", (l) => l.broken], ...attacks, ["photos_recognised", (l) => finite(Score.sight(l.row, "photos_recognised"))],
      ["psnr", (l) => finite(Score.sight(l.row, "psnr"))], ["seconds", (l) => finite(l.row.seconds)],
      ["evaluations_a_photo", (l) => finite(l.row.evaluations)], ["evaluations_published", (l) => l.row.published], ["coverage", (l) => finite(l.coverage)], ["entry", (l) => l.row.entry],
    ];
  }
  // Four places, as the page's data has: more would be digits of arithmetic.
  const finite = (value) => (Number.isFinite(value) ? Number(value.toFixed(4)) : null);
  const choice = () => ({
    board: group().facts, measure: measure().key, over: state.over, attacks: state.attacks.map((a) => group().attacks[a]),
    countermeasures: state.chains.map((c) => group().chains[c]), link: location.href,
  });

  function csv(lines) {
    const found = columns(), rows = lines.map((line) => found.map(([, value]) => value(line)));
    // As bench.core.spreadsheet: a leading = + - @ would be a formula to a spreadsheet, and what is not quoted several
    // cells to one that separates by semicolons.
    const cell = (v) => {
      if (v === null || typeof v === "number") return v === null ? "" : String(v);
      const text = String(v), safe = /^\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) ? `'${text}` : text;
      return `"${safe.replaceAll('"', '""')}"`;
    };
    return [found.map(([name]) => name), ...rows].map((line) => line.map(cell).join(",")).join("\n") + "\n";
  }
  function json(lines) {
    const rows = lines.map((line) => Object.fromEntries(columns().map(([name, value]) => [name, value(line)])));
    return JSON.stringify({ ...choice(), rows }, null, 1) + "\n";
  }

  const ESCAPED = {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "|": "\\textbar{}", '"': "\\textquotedbl{}", "·": "$\\cdot$", "[": "{[}", "]": "{]}", // \\ [x] would be a length
  };
  const tex = (text) => String(text).replace(/[\\~^<>|"·[\]&%$#_{}]/g, (c) => ESCAPED[c] ?? `\\${c}`).replace(/\s+/g, " ");
  const places = ({ rank }) => (rank ? [...new Set(rank)].join("--") : "--");
  function latex(lines) {
    const head = ["Defense", "Rank", tex(measure().name), "95\\,\\%", ...state.attacks.map((a) => tex(group().attacks[a])), "PSNR"];
    const body = lines.map((l) => [tex(l.row.label), places(l), number(l.score), l.interval ? `${number(l.interval[0])}--${number(l.interval[1])}` : "--",
      ...l.attacks.map((v) => number(v)), number(Score.sight(l.row, "psnr"), 1)].map((v) => (v === "–" ? "--" : v)).join(" & ") + " \\\\");
    return [`% ${location.href}`.replace(/[\r\n]/g, " "), `\\begin{tabular}{l${"r".repeat(head.length - 1)}}`, "\\toprule", `${head.join(" & ")} \\\\`, "\\midrule", ...body, "\\bottomrule", "\\end{tabular}", ""].join("\n");
  }
  // The methods that were compared and the attacks that were chosen, each once, as the cards and the project's list of papers have them.
  function bibtex(lines) {
    const cloaks = lines.filter(({ row }) => !row.control).map(({ row }) => [row.defense, row.cited]);
    const attacks = state.attacks.map((a) => group().attacks[a].split(" (")[0]).map((name) => [name, group().cited[name]]);
    const used = new Map([...cloaks, ...attacks].filter(([, cited]) => cited && (cited.where || cited.title)));
    const plain = (text) => tex(String(text).replace(/[{}\\]/g, " ")); // BibTeX counts braces, escaped or not
    return [...used].map(([method, { name, authors, title, where, year, arxiv }]) => {
      const fields = [...(authors ? [`author = {${plain(authors)}}`] : []), `title = {{${plain(title || name || method)}}}`,
        ...(year ? [`year = {${year}}`] : []),
        ...(arxiv ? [`eprint = {${arxiv}}`, "archiveprefix = {arXiv}", `url = {https://arxiv.org/abs/${arxiv}}`] : []),
        ...(where ? [`note = {${plain(where)}}`] : [])];
      return `@misc{${method.replace(/[^\w-]/g, "-")},\n${fields.map((field) => `  ${field}`).join(",\n")}\n}\n`;
    }).join("\n");
  }

  const KINDS = { csv: [csv, "text/csv"], json: [json, "application/json"], tex: [latex, "text/x-tex"], bib: [bibtex, "text/x-bibtex"] };
  function save(kind, lines) {
    const [write, type] = KINDS[kind], address = URL.createObjectURL(new Blob([write(lines)], { type }));
    make("a", { href: address, download: `cloakbench.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
  return { save, csv, json, latex, bibtex };
})();

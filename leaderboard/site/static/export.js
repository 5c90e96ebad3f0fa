// What is on the board, as files: CSV, JSON, a LaTeX table, BibTeX.
"use strict";
window.Export = (() => {
  const { state, group, measure, data } = window.View;
  const { make, number } = window.Dom;

  // What is saved of a row: names of columns, and values. What does not exist is null. Attacks have whatever names their
  // authors gave them: with a word in front, one called "score" is not the score.
  function columns() {
    const names = state.attacks.map((a) => `attack ${group().attacks[a]}`);
    const attacks = names.map((name, i) => [names.indexOf(name) < i ? `${name} #${i + 1}` : name, (l) => finite(l.attacks[i])]);
    return [
      ["defense", (l) => l.row.label], ["budget", (l) => l.row.budget], ["tier", (l) => l.tier ?? null], ["people", (l) => l.people],
      ["score", (l) => finite(l.score)], ["low", (l) => l.interval?.[0] ?? null], ["high", (l) => l.interval?.[1] ?? null],
      ["broken_by", (l) => l.broken], ...attacks, ["psnr", (l) => Score.sight(l.row, "psnr")], ["seconds", (l) => l.row.seconds],
      ["passes", (l) => l.row.passes], ["coverage", (l) => l.coverage], ["entry", (l) => l.row.entry],
    ];
  }
  const finite = (value) => (Number.isFinite(value) ? value : null);
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
  function latex(lines) {
    const head = ["Defense", "Tier", tex(measure().name), "95\\,\\%", ...state.attacks.map((a) => tex(group().attacks[a])), "PSNR"];
    const body = lines.map((l) => [tex(l.row.label), l.tier ?? "--", number(l.score), l.interval ? `${number(l.interval[0])}--${number(l.interval[1])}` : "--",
      ...l.attacks.map((v) => number(v)), number(Score.sight(l.row, "psnr"), 1)].map((v) => (v === "–" ? "--" : v)).join(" & ") + " \\\\");
    return [`% ${location.href}`.replace(/[\r\n]/g, " "), `\\begin{tabular}{l${"r".repeat(head.length - 1)}}`, "\\toprule", `${head.join(" & ")} \\\\`, "\\midrule", ...body, "\\bottomrule", "\\end{tabular}", ""].join("\n");
  }
  function bibtex(lines) {
    const used = [...new Set(lines.map((l) => l.row.entry).filter(Boolean))].map((id) => data.entries[id]).filter(Boolean);
    const plain = (text) => tex(String(text).replace(/[{}\\]/g, " ")); // BibTeX counts braces, escaped or not
    const name = (text) => (/\band\b|^others$/i.test(text) ? `{${plain(text)}}` : plain(text)); // "X and others" is one author
    const address = (text) => text.replace(/[{}\\]/g, encodeURIComponent);
    return used.map((e) => {
      const place = e.paper || e.code, fields = [
        `title = {${plain(e.title)}}`, `author = {${e.authors.map(name).join(" and ")}}`, `year = {${e.submitted.slice(0, 4)}}`,
        ...(place ? [`howpublished = {\\url{${address(place)}}}`] : []),
      ];
      return `@misc{${e.id},\n${fields.map((field) => `  ${field}`).join(",\n")}\n}\n`;
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

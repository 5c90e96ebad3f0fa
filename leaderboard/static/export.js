// What is on the board, as files: CSV, JSON, a LaTeX table, BibTeX.
"use strict";
window.Export = (() => {
  const { state, group, measure, data } = window.View;
  const { make, number } = window.Dom;

  function rows(lines) {
    return lines.map((l) => ({
      defense: l.row.label, budget: l.row.budget, tier: l.tier ?? null, people: l.people, score: finite(l.score),
      low: l.interval?.[0] ?? null, high: l.interval?.[1] ?? null, broken_by: l.broken,
      ...Object.fromEntries(state.attacks.map((a, i) => [group().attacks[a], finite(l.attacks[i])])),
      psnr: Score.sight(l.row, "psnr"), seconds: l.row.seconds, passes: l.row.passes, coverage: l.coverage, entry: l.row.entry,
    }));
  }
  const finite = (value) => (Number.isFinite(value) ? value : null);
  const choice = () => ({
    board: group().facts, measure: measure().key, over: state.over, attacks: state.attacks.map((a) => group().attacks[a]),
    countermeasures: state.chains.map((c) => group().chains[c]), link: location.href,
  });

  function csv(lines) {
    const found = rows(lines), names = Object.keys(found[0] ?? {});
    // A leading = + - @ would be a formula to a spreadsheet.
    const cell = (v) => {
      const text = v === null ? "" : String(v), safe = typeof v === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
      return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    return [names, ...found.map((row) => names.map((n) => row[n]))].map((line) => line.map(cell).join(",")).join("\n") + "\n";
  }
  const json = (lines) => JSON.stringify({ ...choice(), rows: rows(lines) }, null, 1) + "\n";

  const ESCAPED = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "·": "$\\cdot$" };
  const tex = (text) => String(text).replace(/[\\~^·&%$#_{}]/g, (c) => ESCAPED[c] ?? `\\${c}`);
  function latex(lines) {
    const head = ["Defense", "Tier", tex(measure().name), "95\\,\\%", ...state.attacks.map((a) => tex(group().attacks[a])), "PSNR"];
    const body = lines.map((l) => [tex(l.row.label), l.tier ?? "--", number(l.score), l.interval ? `${number(l.interval[0])}--${number(l.interval[1])}` : "--",
      ...l.attacks.map((v) => number(v)), number(Score.sight(l.row, "psnr"), 1)].map((v) => (v === "–" ? "--" : v)).join(" & ") + " \\\\");
    return [`% ${location.href}`.replace(/[\r\n]/g, " "), `\\begin{tabular}{l${"r".repeat(head.length - 1)}}`, "\\toprule", `${head.join(" & ")} \\\\`, "\\midrule", ...body, "\\bottomrule", "\\end{tabular}", ""].join("\n");
  }
  function bibtex(lines) {
    const used = [...new Set(lines.map((l) => l.row.entry).filter(Boolean))].map((id) => data.entries[id]).filter(Boolean);
    const plain = (text) => String(text).replace(/[{}\\%#]/g, " ");
    return used.map((e) => `@misc{${e.id},\n  title = {${plain(e.title)}},\n  author = {${e.authors.map(plain).join(" and ")}},\n  year = {${e.submitted.slice(0, 4)}},\n  howpublished = {${plain(e.paper || e.code)}}\n}\n`).join("\n");
  }

  const KINDS = { csv: [csv, "text/csv"], json: [json, "application/json"], tex: [latex, "text/x-tex"], bib: [bibtex, "text/x-bibtex"] };
  function save(kind, lines) {
    const [write, type] = KINDS[kind], address = URL.createObjectURL(new Blob([write(lines)], { type }));
    make("a", { href: address, download: `cloakbench.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }
  return { save, csv, json, latex, bibtex };
})();

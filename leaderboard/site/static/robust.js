// What is left of protections once somebody has treated the photos first: bench.report.robustness again, for the attacks
// that the reader has chosen. A protection is what noise at a cloak's budget leaks more than the cloak, both treated alike;
// all of them are one family of questions, and all that treatments may have undone are another.
"use strict";
window.Robust = (() => {
  const { state, data, group, measure } = window.View;
  const { make, number, readable, by } = window.Dom;
  const UNTREATED = "none", VALID_LEAK = 0.5;
  const WORDS = {
    holds: "still leaves less than noise that was treated alike",
    broken: "protected before, does not show it any more, and leaks more than before",
    open: "protected before; whether it still does is not shown",
    "too destructive": "after this clean photos leak so little that nothing can be prevented",
  };

  // The treatments to show, that of none first, and last what an attacker gets who can try them all.
  function treatments() {
    const names = group().chains, single = names.map((name, c) => ({ name, chains: [c] })), best = { name: "best of them", chains: single.map((_, c) => c) };
    single.sort((a, b) => (b.name === UNTREATED) - (a.name === UNTREATED));
    return single.length > 1 && names.includes(UNTREATED) ? [...single, ...(state.over === "worst" ? [best] : [])] : [];
  }
  const scores = (line, { chains }) => Score.people(line.number, state.attacks, chains).scores;
  const tried = (values) => values.some((value) => !Number.isNaN(value));

  // By how much leaks of clean photos, whatever the reader ranks by: of any of the attacks.
  function canJudge(clean, after) {
    const rate = data.measures.find((m) => m.key === "ilr");
    const means = (c) => state.attacks.map((a) => Score.mean(Score.known(Score.people(clean.number, [a], [c], state.over, rate).scores)));
    return after.chains.some((c) => means(c).some((mean) => mean >= VALID_LEAK));
  }

  // Rows with what is said of them after each treatment: controls first, then the cloaks that protect without, best first.
  function judged({ lines }) {
    const columns = treatments(), clean = lines.find(({ row }) => row.name === "clean" && !row.entry) ?? lines.find(({ row }) => row.name === "clean");
    if (!columns.length || !clean) return null;
    const valid = columns.map((after) => canJudge(clean, after));
    const rows = lines.filter(({ row }) => row.name === "clean" || !row.control || row.defense === "noise")
      .map((line) => ({ line, values: columns.map((after) => scores(line, after)), said: columns.map(() => "") }));
    const beside = (row, i) => {
      const [noise, without] = ["noise", "none"].map((kind) => rows.find(({ line }) => line === row.line.controls.find((control) => control.kind === kind)?.line));
      return noise && tried(noise.values[i]) ? noise : without;
    };
    const cloaks = rows.filter(({ line }) => !line.row.control && !data.entries[line.row.entry]?.superseded_by);
    const places = cloaks.flatMap((row) => columns.map((_, i) => ({ row, i }))).filter(({ row, i }) => tried(row.values[i]));
    const shown = (questions) => {
      const asked = questions.filter(({ more, less }) => more && less);
      const pairs = Stats.compare(asked.flatMap(({ more, less }) => [less, more]), asked.map((_, q) => [2 * q, 2 * q + 1]), measure().lower ? -1 : 1);
      return new Set(pairs.filter((pair) => pair.apart).map((pair) => asked[pair.first / 2].key));
    };
    const key = ({ row, i }) => `${row.line.number} ${i}`;
    const holds = shown(places.filter(({ i }) => valid[i]).map((place) => ({ key: key(place), more: beside(place.row, place.i)?.values[place.i], less: place.row.values[place.i] })));
    const before = places.filter(({ row }) => holds.has(key({ row, i: 0 })));
    const rises = shown(before.map((place) => ({ key: key(place), more: place.row.values[place.i], less: place.row.values[0] })));
    for (const place of before) {
      const { row, i } = place;
      if (!valid[i]) row.said[i] = tried(rows.find(({ line }) => line === clean).values[i]) ? "too destructive" : "open";
      else row.said[i] = holds.has(key(place)) ? "holds" : rises.has(key(place)) ? "broken" : "open";
    }
    const ofClean = rows.find(({ line }) => line === clean);
    ofClean.said = valid.map((can, i) => (can || !tried(ofClean.values[i]) ? "" : "too destructive"));
    const kept = cloaks.filter(({ said }) => said.some(Boolean)).sort((a, b) => (measure().lower ? 1 : -1) * (mean(a.values[0]) - mean(b.values[0])));
    const noises = rows.filter(({ line }) => line.row.defense === "noise" && !line.row.entry && kept.some((row) => row.line.row.budget === line.row.budget));
    return { columns, rows: [ofClean, ...noises, ...kept], protecting: kept.length, asked: cloaks.length };
  }
  const mean = (values) => Score.mean(Score.known(values));

  const LOOKS = { holds: "badge good", broken: "badge bad" };
  const badge = (said) => make("span", { class: LOOKS[said] ?? "badge", title: WORDS[said] }, said);
  function cell(values, said) {
    if (!tried(values)) return make("td", { class: "muted" }, "–");
    return make("td", {}, number(mean(values)), ...(said ? [" ", badge(said)] : []));
  }
  function show(board) {
    const found = judged(board);
    by("robust").hidden = !found;
    if (!found) return;
    const { columns, rows, protecting, asked } = found;
    by("robust-note").textContent = `How much leaks (${measure().name}) if somebody treats the photos before the chosen attacks. Shown are ${protecting} of ${asked} cloaks, those that leave less than noise where nothing is done; all cloaks and treatments are asked together at 5 %.`;
    by("robust-key").replaceChildren(...Object.entries(WORDS).map(([word, text]) => make("li", {}, badge(word), ` ${text}`)));
    by("robust-table").replaceChildren(
      make("thead", {}, make("tr", {}, ...["cloak", ...columns.map(({ name }) => (name === UNTREATED ? "nothing done" : name))].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map(({ line, values, said }) => make("tr", {}, make("th", { scope: "row" }, readable(line.row.label)), ...values.map((list, i) => cell(list, said[i]))))));
  }
  return { show, judged };
})();

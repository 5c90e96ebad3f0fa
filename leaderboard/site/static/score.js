// Scores of the rows for what the reader has chosen. A person's score is over the chosen attacks and countermeasures:
// the worst of them (an attacker may choose, person by person) or their mean. What was not tried was not survived: a
// person with a missing cell has no score. The worst by likeness is chosen by one half of the pictures and scored by the
// other (bench.stats.comparison.worst_attack); of other measures a cell has one value, which chooses and scores.
"use strict";
window.Score = (() => {
  const { state, data, group, measure, deciding } = window.View;
  const byPlace = new Map();

  // Values of all cells of a group by their place: by number, since a group may have far more places than cells.
  function values(chosen, key) {
    const name = `${chosen.id} ${key}`;
    if (!byPlace.has(name)) {
      const found = new Map(), { cells } = chosen;
      for (let i = 0; i < cells.row.length; i++) {
        const value = cells[key][i];
        if (value !== null) found.set(place(chosen, cells.row[i], cells.attack[i], cells.chain[i], cells.person[i]), value);
      }
      byPlace.set(name, found);
    }
    return byPlace.get(name);
  }
  // The base has one cell of each person, which stands for all attacks and countermeasures.
  const place = (g, row, attack, chain, person) => {
    const spot = g.rows[row].name === "base" ? 0 : attack * g.chains.length + chain;
    return (row * Math.max(1, g.attacks.length * g.chains.length) + spot) * g.people.length + person;
  };
  function cell(row, attack, chain, person, key = measure().key) {
    return (values(group(), key).get(place(group(), row, attack, chain, person)) ?? NaN) / data.scale;
  }

  const HALVES = ["even", "odd"];
  // (people) scores of a row, and for each person which (attack, countermeasure) was the worst.
  function people(row, attacks = state.attacks, chains = state.chains, over = state.over, { key, lower } = measure()) {
    const chosen = group(), all = values(chosen, key);
    const scores = [], worst = [], parted = over === "worst" && key === "likeness" && attacks.length * chains.length > 1;
    for (let p = 0; p < chosen.people.length; p++) {
      let value = over === "worst" ? (lower ? -Infinity : Infinity) : 0, by = null;
      for (const a of attacks) {
        for (const c of chains) {
          const here = all.get(place(chosen, row, a, c, p)) ?? NaN;
          if (over === "mean") value += here / (attacks.length * chains.length);
          else if (Number.isNaN(here)) value = NaN;
          else if (lower ? here > value : here < value) [value, by] = [here, [a, c]];
        }
      }
      const score = parted && Number.isFinite(value) ? byHalves(row, attacks, chains, p) : value;
      scores.push(Number.isFinite(score) ? score / data.scale : NaN);
      worst.push(Number.isFinite(value) ? by : null);
    }
    return { scores, worst };
  }
  // One person's likeness by the worst attack: that of either half by its score in the other, both ways averaged.
  function byHalves(row, attacks, chains, person) {
    const spots = attacks.flatMap((a) => chains.map((c) => place(group(), row, a, c, person)));
    const halves = HALVES.map((half) => spots.map((spot) => values(group(), half).get(spot) ?? NaN));
    const highest = (list) => list.indexOf(Math.max(...list));
    return (halves[1][highest(halves[0])] + halves[0][highest(halves[1])]) / 2;
  }
  const known = (scores) => scores.filter((v) => !Number.isNaN(v));
  const bounds = () => [measure().low, measure().high];

  // Of the chosen cells, the share that a row has, and how many it has and how many of these the maintainers ran. Who else
  // was tried in other rows leaves no row incomplete, but for those whom the maintainers tried.
  function coverage(row) {
    const everybody = new Set(deciding(group()).map((i) => group().cells.person[i]));
    let cells = 0, verified = 0, people = 0;
    for (let p = 0; p < group().people.length; p++) {
      const before = cells;
      for (const a of state.attacks) {
        for (const c of state.chains) {
          if (Number.isNaN(cell(row, a, c, p))) continue;
          cells += 1;
          verified += group().sources[Math.round(cell(row, a, c, p, "source") * data.scale)].verified;
        }
      }
      people += cells > before || everybody.has(p);
    }
    return { coverage: cells / Math.max(1, state.attacks.length * state.chains.length * people), cells, verified };
  }

  // What stands between the person and the worst: the (attack, countermeasure) that is it for most people.
  function brokenBy(worst, scores) {
    const votes = new Map();
    worst.forEach((by, p) => {
      const harmless = by === null || (measure().lower ? scores[p] <= measure().low : scores[p] >= measure().high);
      if (!harmless) votes.set(String(by), (votes.get(String(by)) ?? 0) + 1);
    });
    const [most] = [...votes].sort((a, b) => b[1] - a[1]);
    if (!most) return "";
    const [a, c] = most[0].split(",").map(Number), chain = group().chains[c];
    return group().attacks[a] + (chain === "none" ? "" : ` after ${chain}`);
  }

  const shown = (row) => row.budget === null || row.budget === 0 || state.budgets.includes(row.budget);

  // Rows with everything that is known of each by itself.
  function lines(wanted) {
    const found = group().rows.map((row, number) => ({ row, number })).filter(({ row }) => wanted(row));
    for (const line of found) {
      const { scores, worst } = people(line.number), have = known(scores);
      Object.assign(line, {
        scores, people: have.length, score: have.length ? Stats.mean(have) : NaN, ...coverage(line.number),
        interval: have.length > 1 ? Stats.meanInterval(have, bounds()) : null,
        broken: state.over === "worst" ? brokenBy(worst, scores) : "",
        attacks: state.attacks.map((a) => mean(known(people(line.number, [a]).scores))),
      });
    }
    return state.ran ? found.filter((line) => line.verified === line.cells) : found;
  }
  // The rows of the chosen budgets that were tried against anything chosen, those with a score compared with each other; and the rows of all budgets.
  function board() {
    const all = lines(() => true), some = all.filter((line) => line.coverage && shown(line.row));
    const judged = judge(some);
    Stats.ranks(judged.ranked, judged.pairs, measure().lower).forEach((rank, i) => (judged.ranked[i].rank = rank));
    for (const line of some) line.controls = beside(line, some);
    return { lines: some, all, ...judged, headline: headline({ lines: some, ...judged }) };
  }
  // What the first sentence is about: the rows that the maintainers ran, by themselves, if there is a cloak among them. Else
  // whoever sends in a row would be named there, or take the name of another away.
  function headline(board) {
    const ran = board.lines.filter((line) => line.verified === line.cells).map((line) => ({ ...line }));
    return ran.length < board.lines.length && ran.some((line) => !line.row.control) ? { lines: ran, ...judge(ran) } : board;
  }
  // The controls that stand beside a row: everybody's, or where there is none those of its own entry, at its budget.
  const BESIDE = { base: "no attack", noise: "noise", none: "clean" };
  function beside(line, lines) {
    return Object.entries(BESIDE).flatMap(([kind, words]) => {
      const fits = lines.filter(({ row, people }) => row.control && people && (row.name === "base" ? "base" : row.defense) === kind
        && row.name !== "another person" && (kind !== "noise" || line.row.control || row.budget === line.row.budget));
      const found = fits.find(({ row }) => row.entry === line.row.entry) ?? fits.find(({ row }) => !row.entry);
      return found ? [{ kind, words, line: found }] : [];
    });
  }
  // The one rule (bench.stats.rule): first every cloak against noise at its budget, in one direction; then all pairs of
  // those that leave less, which alone are ranked. Where there is no noise at all, of all cloaks.
  function judge(lines) {
    const scored = lines.filter((line) => line.people > 1), noises = scored.filter((l) => l.row.control && l.row.defense === "noise");
    const cloaks = scored.filter((line) => !line.row.control && !superseded(line.row));
    // Everybody's noise, or that of its own entry where this has more; never another entry's.
    const at = (line, entry) => noises.findIndex((l) => l.row.budget === line.row.budget && l.row.entry === entry);
    const own = (line) => (at(line, line.row.entry) >= 0 ? at(line, line.row.entry) : at(line, ""));
    const asked = cloaks.map((line, i) => [i, cloaks.length + own(line)]).filter(([, noise]) => noise >= cloaks.length);
    const against = Stats.compare([...cloaks, ...noises].map((line) => line.scores), asked, measure().lower ? -1 : 1);
    // Noise of a stranger takes from no row that the maintainers ran its rank.
    const anybody = noises.length > 0, everybody = noises.some((l) => !l.row.entry);
    const lacks = (line) => own(line) >= 0 || (line.verified === line.cells ? everybody : anybody);
    for (const line of cloaks) line.said = lacks(line) ? "no noise at its budget" : "";
    for (const { first, people, apart, undecided, differences } of against) {
      cloaks[first].less = [differences.filter((d) => (measure().lower ? d < 0 : d > 0)).length, people];
      cloaks[first].said = apart ? "beats noise" : undecided ? `undecided: ${people} people cannot show it` : "not shown to beat noise";
    }
    const ranked = cloaks.filter((line) => ["", "beats noise"].includes(line.said));
    return { cloaks, against, ranked, pairs: Stats.compare(ranked.map((line) => line.scores)), noise: anybody };
  }
  const mean = (list) => (list.length ? Stats.mean(list) : NaN);
  // The base and another person's photos are no defenses: nothing of this person was there to protect.
  const reference = (row) => row.name === "base" || row.name === "another person";
  // Corrected by a later entry: still shown, but no longer part of the comparison.
  const superseded = (row) => Boolean(data.entries[row.entry]?.superseded_by);

  // Mean over people of how a row's cloak looks; null for what has no cloak.
  const sight = (row, key) => {
    const found = row.sight[key]?.filter((v) => v !== null) ?? [];
    return found.length ? Stats.mean(found) : null;
  };

  return { board, people, cell, known, bounds, sight, reference, mean };
})();

// What the reader has chosen, as plain values and as the address: everything a link needs to show the same page again.
"use strict";
window.View = (() => {
  const data = window.CLOAKBENCH;
  const TABS = ["board", "plots", "compare", "gallery"];
  // Columns of the board that a reader may hide, by name; a column for each attack comes with the attack.
  const COLUMNS = {
    compare: "compare", rank: "rank", recognised: "photos still recognised", psnr: "PSNR, dB", seconds: "seconds a person", evaluations: "NFE a photo",
    budget: "budget", broken: "broken by", coverage: "coverage",
  };
  const FURTHER = ["budget", "broken", "coverage"]; // hidden at first
  const listeners = [];
  const state = {};

  const group = () => data.groups.find((g) => g.id === state.group) ?? data.groups[0];
  const measure = () => data.measures.find((m) => m.key === state.measure) ?? data.measures[0];

  function defaults(groupId) {
    const chosen = data.groups.find((g) => g.id === groupId) ?? data.groups.find((g) => g.current) ?? data.groups[0];
    return {
      tab: "board", group: chosen?.id ?? "", measure: data.measures[0].key, over: "worst",
      attacks: chosen ? common(chosen) : [], chains: chosen ? plainChains(chosen) : [],
      budgets: chosen ? usual(chosen) : [], search: "", ran: 0, sort: "", compare: [], person: chosen ? Math.min(...new Set(deciding(chosen).map((i) => chosen.cells.person[i]))) : 0, blur: 0,
      hidden: [...FURTHER, ...(chosen ? unknown(chosen) : [])],
    };
  }
  // Columns of which no row has anything: records of before state neither.
  function unknown(chosen) {
    const known = { recognised: (row) => row.sight.photos_recognised?.some((v) => v !== null), evaluations: (row) => row.evaluations !== null };
    return Object.keys(known).filter((name) => !chosen.rows.some((row) => !row.control && known[name](row)));
  }
  // Without countermeasures, if anybody was tried without.
  function plainChains(chosen) {
    const none = chosen.chains.indexOf("none");
    return none >= 0 ? [none] : chosen.chains.map((_, i) => i);
  }
  // Numbers of the cells that decide what is shown first: those that the maintainers ran, or where there is none, all.
  // Else whoever sends in many rows would choose the attacks and the people by which all others are read.
  const decisive = new Map();
  function deciding(chosen) {
    if (!decisive.has(chosen.id)) {
      const all = chosen.cells.row.map((_, i) => i), verified = all.filter((i) => chosen.sources[chosen.cells.source[i]].verified);
      decisive.set(chosen.id, verified.length ? verified : all);
    }
    return decisive.get(chosen.id);
  }
  // Attacks that at least half of the rows were tried against: one that a single entry brought would leave all others
  // incomplete.
  function common(chosen) {
    const tried = chosen.attacks.map(() => new Set());
    for (const i of deciding(chosen)) {
      const attack = chosen.cells.attack[i];
      for (const rows of attack === null ? tried : [tried[attack]]) rows.add(chosen.cells.row[i]); // the base: in all
    }
    const most = Math.max(...tried.map((rows) => rows.size));
    return chosen.attacks.map((_, i) => i).filter((i) => 2 * tried[i].size >= most);
  }
  // Only equal budgets are a fair comparison: the one that most rows have.
  function usual(chosen) {
    const found = [...new Set(deciding(chosen).map((i) => chosen.cells.row[i]))].map((i) => chosen.rows[i]);
    const rows = (budget) => found.filter((row) => row.budget === budget).length;
    return budgets(chosen).sort((a, b) => rows(b) - rows(a) || a - b).slice(0, 1);
  }
  const budgets = (chosen) =>
    [...new Set(chosen.rows.map((r) => r.budget).filter((b) => b !== null && b > 0))].sort((a, b) => a - b);

  // What shows the rows of an entry: `entry=mine` in an address stands for it.
  function showing(entry, groupId) {
    const theirs = (g) => new Set(g.rows.flatMap((row, i) => (row.entry === entry || row.others.includes(entry) ? [i] : [])));
    const several = data.groups.filter((g) => theirs(g).size);
    const chosen = several.find((g) => g.id === groupId) ?? several[0];
    if (!chosen) return {};
    const rows = theirs(chosen), attacks = new Set(), chains = new Set();
    const brought = (i) => chosen.sources[chosen.cells.source[i]].entry === entry;
    const own = chosen.cells.row.some((_, i) => brought(i)); // not where another one's seeds stand for a place
    chosen.cells.row.forEach((row, i) => {
      if (!rows.has(row) || (own && !brought(i)) || chosen.cells.attack[i] === null) return;
      attacks.add(chosen.cells.attack[i]);
      chains.add(chosen.cells.chain[i]);
    });
    const plain = plainChains(chosen).filter((chain) => chains.has(chain));
    return {
      group: chosen.id, attacks: [...attacks].sort((a, b) => a - b),
      chains: plain.length ? plain : [...chains].sort((a, b) => a - b),
      budgets: budgets(chosen).filter((budget) => chosen.rows.some((row, i) => rows.has(i) && row.budget === budget)),
    };
  }

  // -- address -------------------------------------------------------------------------------------------------------

  function read() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const entry = showing(asked.get("entry"), asked.get("group"));
    Object.assign(state, defaults(entry.group ?? asked.get("group")), entry);
    for (const [key, standard] of Object.entries(state)) {
      const text = asked.get(key);
      if (text === null || (key === "group" && entry.group)) continue;
      if (Array.isArray(standard)) {
        const numeric = !["compare", "hidden"].includes(key), parts = text === "" ? [] : text.split(",");
        state[key] = parts.map((part) => (numeric ? Number(part) : part)).filter((part) => allowed(key, part));
      } else state[key] = typeof standard === "number" ? Math.max(0, Math.trunc(Number(text)) || 0) : text;
    }
    state.group = group()?.id ?? "";
    state.measure = measure().key;
    if (!TABS.includes(state.tab)) state.tab = "board";
    if (state.over !== "mean") state.over = "worst";
    if (group() && state.person >= group().people.length) state.person = 0;
  }
  function allowed(key, part) {
    const chosen = group();
    if (key === "attacks" || key === "chains") return Number.isInteger(part) && part >= 0 && part < chosen[key].length;
    if (key === "budgets") return budgets(chosen).includes(part);
    if (key === "hidden") return Object.hasOwn(COLUMNS, part);
    return chosen.rows.some((row) => row.id === part);
  }
  function write() {
    const standard = defaults(state.group), words = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) {
      if (key === "group" ? value !== defaults().group : String(value) !== String(standard[key])) words.set(key, value);
    }
    const hash = words.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  }

  // -- changes -------------------------------------------------------------------------------------------------------

  function change(changes) {
    if ("group" in changes && changes.group !== state.group) {
      Object.assign(state, { ...defaults(changes.group), tab: state.tab, measure: state.measure, over: state.over });
    }
    Object.assign(state, changes);
    write();
    for (const listener of listeners) listener(new Set(Object.keys(changes)));
  }
  function toggle(key, value) {
    const had = state[key], without = had.filter((v) => v !== value);
    const order = (a, b) => (typeof a === "number" ? a - b : 0);
    change({ [key]: without.length < had.length ? without : [...had, value].sort(order) });
  }
  addEventListener("hashchange", () => {
    read();
    for (const listener of listeners) listener(new Set(["group"]));
  });

  read();
  return { state, data, group, measure, budgets, deciding, change, toggle, onChange: (f) => listeners.push(f), TABS, COLUMNS };
})();

// The page put together: choices on top, one tab below, everything drawn again when a choice changes.
"use strict";
(() => {
  const { state, data, group, measure, budgets, change, toggle, onChange, TABS, COLUMNS } = window.View;
  const { make, by } = window.Dom;
  let board = null;

  function options(id, pairs, value, pick) {
    by(id).replaceChildren(...pairs.map(([key, words]) => make("option", { value: key }, words)));
    by(id).value = value;
    by(id).onchange = (event) => pick(event.target.value);
  }
  // Ticked is what is in the list; of what is hidden, the rest. Boxes that are there stay, and with them the reader's focus.
  function boxes(id, key, names) {
    const there = [...by(id).children];
    if (String(there.map((label) => label.textContent)) !== String(names.map(([, words]) => ` ${words}`))) {
      by(id).replaceChildren(...names.map(([value, words]) => make("label", {}, make("input", { type: "checkbox", onchange: () => toggle(key, value) }), ` ${words}`)));
    }
    names.forEach(([value], i) => (by(id).children[i].firstChild.checked = state[key].includes(value) !== (key === "hidden")));
  }
  function choices() {
    options("group", data.groups.map((g) => [g.id, g.name]), state.group, (v) => change({ group: v }));
    options("measure", data.measures.map((m) => [m.key, m.name]), state.measure, (v) => change({ measure: v }));
    options("over", [["worst", "worst attack, person by person"], ["mean", "mean over attacks"]], state.over, (v) => change({ over: v }));
    boxes("attacks", "attacks", group().attacks.map((name, i) => [i, name]));
    boxes("chains", "chains", group().chains.map((name, i) => [i, name]));
    boxes("budgets", "budgets", budgets(group()).map((b) => [b, `${b}`]));
    boxes("columns", "hidden", Object.entries(COLUMNS));
    by("search").value = state.search;
    by("ran").checked = Boolean(state.ran);
    by("choice-text").textContent = chosenText();
    Gallery.controls();
  }

  // All that is chosen, in a line.
  function chosenText() {
    const { facts, attacks, chains } = group(), after = state.chains.map((c) => chains[c]).filter((name) => name !== "none");
    const against = state.attacks.length === 1 ? attacks[state.attacks[0]] : `${state.over === "worst" ? "worst" : "mean"} of ${state.attacks.length} attacks`;
    return [`${facts.data} on ${facts.base}, protocol ${facts.version}`, measure().name, against + (after.length ? ` after ${after.join(" or ")}` : ""),
      state.budgets.map((budget) => `${budget}/255`).join(" and "), state.ran ? "verified rows" : "", state.search ? `"${state.search}"` : ""].filter(Boolean).join(" · ");
  }

  // The first screen: who leaks least, how sure that is, and what it looks like.
  function firstScreen() {
    by("verdict").textContent = Verdict.sentence(board.headline);
    by("measured").textContent = `${measure().brief}.`;
    const pictures = Trio.show(board);
    by("trio").replaceChildren(...pictures);
    by("trio").hidden = !pictures.length;
  }

  // What others sent in last, each a link to a view that shows it.
  function newest() {
    const sent = Object.values(data.entries).filter((e) => e.kind !== "reference" && !e.superseded_by);
    const last = sent.sort((a, b) => b.submitted.localeCompare(a.submitted)).slice(0, 3);
    const links = last.map((e) => make("li", {}, make("a", { href: `#entry=${encodeURIComponent(e.id)}` }, e.title), ` (${e.submitted})`));
    by("newest").replaceChildren(...links);
    by("newest").parentElement.hidden = !links.length;
  }

  function tabs() {
    for (const name of TABS) {
      const chosen = state.tab === name;
      by(`tab-${name}`).setAttribute("aria-selected", chosen);
      by(`tab-${name}`).tabIndex = chosen ? 0 : -1;
      by(name).hidden = !chosen;
    }
    by("picture-choices").hidden = !["compare", "gallery"].includes(state.tab);
    by("compare-count").textContent = state.compare.length ? ` (${state.compare.length})` : "";
  }
  async function draw() {
    tabs();
    firstScreen();
    if (state.tab === "board") {
      Board.show(board);
      Robust.show(board);
    } else if (state.tab === "plots") await Plots.show(board);
    else if (state.tab === "compare") {
      await Compare.show(board);
      Gallery.show(board, "compare-strips", Compare.chosen(board.lines));
    } else Gallery.show(board);
    document.body.dataset.drawn = state.tab;
  }
  const QUIET = new Set(["sort", "search"]); // already shown by the table itself
  onChange((keys) => {
    if ([...keys].every((key) => QUIET.has(key))) return;
    delete document.body.dataset.drawn;
    if (!(keys.size === 1 && (keys.has("tab") || keys.has("compare") || keys.has("blur") || keys.has("hidden")))) board = Score.board();
    if (keys.has("compare") && state.tab === "board") return tabs();
    choices();
    draw();
  });

  const exported = () => [...Board.shown(), ...board.lines.filter((line) => line.row.control)];

  function listen() {
    for (const [i, name] of TABS.entries()) {
      by(`tab-${name}`).addEventListener("click", () => change({ tab: name }));
      by(`tab-${name}`).addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = TABS[(i + step + TABS.length) % TABS.length];
        change({ tab: next });
        by(`tab-${next}`).focus();
      });
    }
    by("search").addEventListener("input", (event) => {
      Board.search(event.target.value);
      change({ search: event.target.value });
    });
    by("ran").addEventListener("change", (event) => change({ ran: Number(event.target.checked) }));
    for (const kind of ["csv", "json", "tex", "bib"]) by(`save-${kind}`).addEventListener("click", () => Export.save(kind, exported()));
    by("copy").addEventListener("click", async () => {
      by("copied").textContent = await Copy.text(location.href);
    });
    addEventListener("themechange", () => draw());
  }

  if (!data.groups.length) {
    for (const part of [by("first"), by("choices"), by("picture-choices"), document.querySelector("[role=tablist]")]) part.hidden = true;
    by("board").replaceChildren(make("p", {}, "There are no results yet."));
    document.body.dataset.drawn = "board";
    return;
  }
  board = Score.board();
  listen();
  newest();
  choices();
  draw();
})();

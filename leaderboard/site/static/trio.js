// Three pictures of one invented person: a photo, what an attack makes of it, and what it makes of it after the leader.
// On a board of real people they are those of the invented ones, by the same base and protocol.
"use strict";
window.Trio = (() => {
  const { data, group, measure } = window.View;
  const { make } = window.Dom;
  const sprites = window.CLOAKBENCH_PICTURES ?? {};

  const comparable = (g) => g.facts.base === group().facts.base && g.facts.version === group().facts.version;
  const candidates = () => [group(), ...data.groups.filter((g) => g.id !== group().id && comparable(g))];

  // Of all people and attacks of whom there are pictures without a cloak and with the leader's, those of whom clean photos
  // leak most. What the cloak does to them chooses nothing.
  function find(leader) {
    for (const board of candidates()) {
      const clean = board.rows.findIndex((row) => row.name === "clean");
      const of = board.rows.map((row, number) => ({ row, number })).filter(({ row }) => !row.control && row.name === leader.row.name);
      const cloaked = of.find(({ row }) => row.label === leader.row.label) ?? of[0];
      if (clean < 0 || !cloaked) continue;
      const chain = board.chains.indexOf("none"), { cells } = board, found = [];
      for (let i = 0; i < cells.row.length; i++) {
        const attack = cells.attack[i], person = cells.person[i];
        if (cells.row[i] !== clean || cells.chain[i] !== chain) continue;
        const [before, after] = [clean, cloaked.number].map((row) => sprites[[board.id, row, attack, chain, person].join(" ")]);
        if (!(before?.groups.clean && before.groups.generated && after?.groups.generated)) continue;
        found.push({ board, before, after, attack, row: cloaked.row, leak: cells[measure().key][i] ?? 0 });
      }
      if (found.length) return found.reduce((most, each) => (each.leak > most.leak ? each : most));
    }
    return null;
  }
  function show(board) {
    const [leader] = Verdict.leaders(board.headline), found = leader && find(leader);
    if (!found) return [];
    const { before, after, attack, row } = found, name = found.board.attacks[attack];
    const picture = (sprite, part, words) =>
      make("figure", {}, Gallery.tile(sprite, sprite.groups[part][0], words), make("figcaption", {}, words));
    const where = `#tab=gallery&group=${found.board.id}`;
    return [
      picture(before, "clean", "invented person"),
      picture(before, "generated", `${name}, clean`),
      picture(after, "generated", row.label),
      make("p", { class: "note" }, make("a", { href: where }, "more pictures")),
    ];
  }
  return { show };
})();

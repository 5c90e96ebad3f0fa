// Pictures, where the licence allows showing them: the same person and noise under every row.
"use strict";
window.Gallery = (() => {
  const { state, group, change } = window.View;
  const { make, by } = window.Dom;
  const sprites = window.CLOAKBENCH_PICTURES ?? {};
  const GROUPS = { clean: "photo", cloaked: "cloaked", difference: "change × 8", countered: "as the attacker gets it", generated: "generated" };

  // One tile of a sprite; zoom and place are the same for all tiles, by style variables of the whole gallery.
  function tile(sprite, index, name) {
    const style = `background-image: url("${encodeURI(sprite.file)}"); --tiles: ${sprite.count}; --tile: ${index}`;
    return make("div", { class: "tile", role: "img", "aria-label": name, style });
  }
  function strip(line, attack, chain, most) {
    const spot = line.row.name === "base" ? [] : [attack, chain]; // the base's stand for all attacks
    const sprite = sprites[[group().id, line.number, ...spot, state.person].join(" ")];
    if (!sprite) return null;
    const parts = Object.entries(GROUPS).filter(([name]) => sprite.groups[name] && (name === "generated" || line.row.name !== "base")).map(([name, words]) => {
      const [start, count] = sprite.groups[name], shown = name === "generated" ? most : Math.min(count, 1);
      const tiles = Array.from({ length: Math.min(count, shown) }, (_, i) => tile(sprite, start + i, `${words}, ${line.row.label}, ${i + 1}`));
      return make("figure", {}, make("div", { class: "tiles" }, ...tiles), make("figcaption", {}, words));
    });
    const chainName = group().chains[chain];
    const words = `${line.row.label}, ${group().attacks[attack]}${chainName === "none" ? "" : ` after ${chainName}`}`;
    return make("section", { class: "strip" }, make("h3", {}, words), make("div", { class: "figures" }, ...parts));
  }
  function show({ lines }, id = "gallery-strips", chosen = null) {
    const rows = chosen ?? (state.compare.length ? Compare.chosen(lines) : lines);
    const strips = rows.flatMap((line) => state.attacks.flatMap((a) => state.chains.map((c) => strip(line, a, c, 8))));
    const found = strips.filter(Boolean).slice(0, 60);
    by(id).replaceChildren(...(found.length ? found : [make("p", {}, "No pictures may be shown for this choice: only invented people are shown, and only where an entry brought pictures.")]));
  }

  // -- controls ------------------------------------------------------------------------------------------------------

  function controls() {
    const people = by("person");
    people.replaceChildren(...group().people.map((name, i) => make("option", { value: i }, name)));
    people.value = String(state.person);
    by("blur").checked = Boolean(state.blur);
    document.body.classList.toggle("blurred", Boolean(state.blur));
  }
  by("person").addEventListener("change", (event) => change({ person: Number(event.target.value) }));
  by("blur").addEventListener("change", (event) => change({ blur: Number(event.target.checked) }));
  by("zoom").addEventListener("input", (event) => document.body.style.setProperty("--zoom", event.target.value));
  document.addEventListener("pointermove", (event) => {
    const box = event.target.closest?.(".tile")?.getBoundingClientRect();
    if (!box) return;
    document.body.style.setProperty("--x", ((event.clientX - box.left) / box.width).toFixed(3));
    document.body.style.setProperty("--y", ((event.clientY - box.top) / box.height).toFixed(3));
  });
  return { show, controls, tile };
})();

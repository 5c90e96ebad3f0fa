// What the board says in one sentence, by the one rule (bench.stats.rule): who leaks least of those that are shown to
// beat noise, how many are, and who cannot be told from the first. Whatever was tried, it says no more than that.
"use strict";
window.Verdict = (() => {
  const { group, measure } = window.View;
  const { readable } = window.Dom;
  const NAMED = 3; // rows that are named one by one
  const EQUAL = 1e-9; // sums in another order differ in the last digits
  // Where all budgets are one, it is said once; and again a cloak is named by its method alone, if that tells which it is.
  const onlyBudget = ({ cloaks }) => new Set(cloaks.map((line) => line.row.budget)).size === 1;
  const naming = (board) => ({ row }) => readable(onlyBudget(board) ? row.series : row.label);
  const again = (board, { row }) => (board.cloaks.filter((line) => line.row.defense === row.defense).length === 1 ? row.defense : "the first");
  const listed = (words, last = "and") => (words.length > 1 ? `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}` : words.join(""));
  const named = (board, lines, last) => {
    const more = lines.length - NAMED, names = lines.map(naming(board));
    return listed(more > 1 ? [...names.slice(0, NAMED), `${more} others`] : names, last);
  };

  const better = (a, b) => (measure().lower ? a.score - b.score : b.score - a.score);
  const shown = ({ cloaks }) => cloaks.filter((line) => line.said === "beats noise").sort(better);
  // Those with the best mean: one, or several that are equal; none if none is shown to beat noise.
  const leaders = (board) => shown(board).filter((line, _, [first]) => better(line, first) < EQUAL);
  const apart = ({ ranked, pairs }, a, b) =>
    pairs.some((pair) => pair.apart && [a, b].includes(ranked[pair.first]) && [a, b].includes(ranked[pair.second]));

  function where({ cloaks }) {
    const people = cloaks.map((line) => line.people), most = Math.max(...people);
    const budgets = [...new Set(cloaks.map((line) => line.row.budget))].sort((a, b) => a - b);
    const count = `${Math.min(...people) < most ? "up to " : ""}${most} ${group().invented ? "invented" : "real"} people`;
    return `On ${count} at ${listed(budgets.map((budget) => `${budget}/255`))}`;
  }
  function least(board, first) {
    const many = first.length > 1, by = measure().key === "likeness" ? "" : ` by ${measure().name}`;
    const verb = measure().lower ? (many ? "leak least" : "leaks least") : many ? "are best" : "is best";
    return `${named(board, first)} ${verb}${by}${many ? ", equally" : ""}`;
  }
  // What can be said of the first and the rest of those that beat noise.
  function told(board, [first, ...equal]) {
    const rest = shown(board).filter((line) => line !== first && !equal.includes(line));
    const alike = rest.filter((line) => !apart(board, first, line));
    if (alike.length === 1) return `${again(board, first)} and ${named(board, alike)} cannot be told apart`;
    if (alike.length) return `${again(board, first)} cannot be told apart from ${named(board, alike, "or")}`;
    return equal.length ? "" : `${again(board, first)} is shown to do better than ${rest.length > 1 ? "each of the others" : "the other"}`;
  }

  function claim(board) {
    const { cloaks, lines, noise } = board, count = cloaks.length, beat = shown(board), first = leaders(board);
    if (!lines.some((line) => !line.row.control)) return "No cloak was tried here.";
    if (!count) return "Nothing can be said: no cloak was tried on two people in all that is chosen.";
    if (!noise) return `${where(board)} nothing shows that a cloak does more than noise: there is no noise to compare with.`;
    if (!beat.length) {
      const few = cloaks.find((line) => line.said.startsWith("undecided"));
      const whom = count > 1 ? `none of ${count} cloaks is` : `${named(board, cloaks)}, the only cloak, is not`;
      return `${where(board)} ${whom} shown to beat noise${few ? `: ${few.people} people cannot show it, whatever the scores` : ""}.`;
    }
    if (beat.length === 1) {
      const whom = count > 1 ? `the only one of ${count} cloaks that is shown to beat noise` : "shown to beat noise; no other cloak was tried";
      return `${where(board)} ${named(board, beat)} is ${whom}.`;
    }
    const parts = [`${where(board)} ${least(board, first)}`, `${beat.length} of ${count} cloaks are shown to beat noise`, told(board, first)];
    return `${parts.filter(Boolean).join("; ")}.`;
  }
  const reported = ({ cloaks }) => (cloaks.length && cloaks.every((line) => line.verified < line.cells) ? "Nobody but those who say so ran it." : "");
  const sentence = (board) => [claim(board), reported(board), group().scope].filter(Boolean).join(" ");
  return { sentence, leaders };
})();

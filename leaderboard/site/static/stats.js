// The statistics of bench.stats again, so that a reader's own choice of attacks gets intervals and ranks at once.
// A test compares both on the same numbers. Missing values are NaN; an interval is [low, high].
"use strict";
window.Stats = (() => {
  const DRAWS = 10000, FEW = 15, EXACT = 14, ALPHA = 0.05, NEAR = 1e-9;
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const sum = (values) => values.reduce((a, b) => a + b, 0);

  // mulberry32: the page needs the same picture at every visit, not secrecy.
  function generator(seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  // -- distributions -------------------------------------------------------------------------------------------------

  // Complementary error function by its Chebyshev fit (Numerical Recipes 6.2), relative error below 1.2e-7.
  function erfc(x) {
    const z = Math.abs(x), t = 1 / (1 + z / 2);
    const series = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
      -0.82215223, 0.17087277];
    const value = t * Math.exp(-z * z + series.reduceRight((rest, c) => c + t * rest, 0));
    return x >= 0 ? value : 2 - value;
  }
  const normalCdf = (x) => erfc(-x / Math.SQRT2) / 2;

  // The x at which an increasing function reaches p, by halving.
  function inverse(cdf, p, low, high) {
    for (let i = 0; i < 80; i++) {
      const middle = (low + high) / 2;
      if (cdf(middle) < p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }
  const normalQuantile = (p) => inverse(normalCdf, p, -40, 40);

  function logGamma(x) {
    const c = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 1.208650973866179e-3,
      -5.395239384953e-6];
    const t = x + 5.5 - (x + 0.5) * Math.log(x + 5.5);
    return -t + Math.log((2.5066282746310005 * (1.000000000190015 + sum(c.map((a, i) => a / (x + 1 + i))))) / x);
  }

  // Regularised incomplete beta function by its continued fraction (Numerical Recipes 6.4).
  function beta(x, a, b) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    if (x >= (a + 1) / (a + b + 2)) return 1 - beta(1 - x, b, a);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
    const safe = (v) => (Math.abs(v) < 1e-300 ? 1e-300 : v);
    let c = 1, d = 1 / safe(1 - ((a + b) * x) / (a + 1)), value = d;
    for (let m = 1; m < 300; m++) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      for (const term of [even, odd]) {
        d = 1 / safe(1 + term * d);
        c = safe(1 + term / c);
        value *= d * c;
      }
      if (Math.abs(d * c - 1) < 1e-14) break;
    }
    return front * value;
  }
  function studentCdf(t, freedom) {
    const tail = beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2;
    return t > 0 ? 1 - tail : tail;
  }
  const studentQuantile = (p, freedom) => inverse((t) => studentCdf(t, freedom), p, -1000, 1000);

  // -- intervals -----------------------------------------------------------------------------------------------------

  function quantile(sorted, p) {
    const at = Math.min(Math.max(p, 0), 1) * (sorted.length - 1), low = Math.floor(at);
    return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  }

  const drawn = new Map();
  // (draws x people) numbers of people, drawn with replacement; the same for everything that has as many people.
  function resampled(people) {
    if (!drawn.has(people)) {
      const random = generator(people), rows = new Uint16Array(DRAWS * people);
      for (let i = 0; i < rows.length; i++) rows[i] = Math.floor(random() * people);
      drawn.set(people, rows);
    }
    return drawn.get(people);
  }
  function resampledMeans(values) {
    const rows = resampled(values.length), n = values.length, means = new Float64Array(DRAWS);
    for (let d = 0, at = 0; d < DRAWS; d++) {
      let total = 0;
      for (let i = 0; i < n; i++) total += values[rows[at++]];
      means[d] = total / n;
    }
    return means;
  }

  // Student's t for few people, else BCa (Efron 1987); null for fewer than two. Cut at the bounds of the measure.
  function meanInterval(values, bounds = [-Infinity, Infinity]) {
    const n = values.length, centre = mean(values), clip = (x) => Math.min(Math.max(x, bounds[0]), bounds[1]);
    if (n < 2) return null;
    if (n < FEW) {
      const deviation = Math.sqrt(sum(values.map((v) => (v - centre) ** 2)) / (n - 1));
      const half = (studentQuantile(0.975, n - 1) * deviation) / Math.sqrt(n);
      return [clip(centre - half), clip(centre + half)];
    }
    const draws = resampledMeans(values).sort();
    const near = 1e-12 + 1e-9 * Math.abs(centre); // sums in another order differ in the last digits
    let below = 0;
    for (const d of draws) below += d < centre - near ? 1 : d <= centre + near ? 0.5 : 0;
    const bias = normalQuantile(Math.min(Math.max(below / DRAWS, 1 / DRAWS), 1 - 1 / DRAWS));
    const influence = values.map((v) => (v - centre) / (n - 1));
    const spread = sum(influence.map((v) => v * v));
    const acceleration = spread > 0 ? sum(influence.map((v) => v ** 3)) / (6 * spread ** 1.5) : 0;
    return [0.025, 0.975].map((tail) => {
      const moved = bias + normalQuantile(tail);
      return quantile(draws, normalCdf(bias + moved / (1 - acceleration * moved)));
    });
  }

  // -- comparisons ---------------------------------------------------------------------------------------------------

  const flipped = new Map();
  function randomSigns(people) {
    if (!flipped.has(people)) {
      const random = generator(7 * people);
      flipped.set(people, Int8Array.from({ length: DRAWS * people }, () => (random() < 0.5 ? 1 : -1)));
    }
    return flipped.get(people);
  }
  // Sums of values under every choice of signs (up to 14 people), or under 10,000 random ones: the same choices for every
  // row of as many people, so that rows can be subtracted. The first is without a flip, where all are tried.
  function signedSums(values) {
    const n = values.length;
    if (n <= EXACT) {
      let sums = new Float64Array(1);
      for (let i = 0; i < n; i++) {
        const longer = new Float64Array(2 * sums.length);
        for (let j = 0; j < sums.length; j++) {
          longer[j] = sums[j] + values[i];
          longer[j + sums.length] = sums[j] - values[i];
        }
        sums = longer;
      }
      return sums;
    }
    const signs = randomSigns(n), sums = new Float64Array(DRAWS);
    for (let d = 0, at = 0; d < DRAWS; d++) for (let i = 0; i < n; i++) sums[d] += signs[at++] * values[i];
    return sums;
  }

  // Step-down max-T over flips of people's signs, as bench.stats.max_t has it: gives every pair its p alone, and adjusted
  // for all of them. `way` is 0 if either row may be better, 1 if only positive differences count, -1 if only negative.
  function maxT(rows, pairs, way) {
    const people = (rows[0] ?? []).map((_, i) => i).filter((i) => pairs.some((pair) => pair.by[i])); // neither 0 nor NaN
    const used = rows.map((row) => people.map((i) => row[i])), complete = used.map((row) => !row.some(Number.isNaN));
    const sums = used.map(() => null), signed = (i) => (sums[i] ??= signedSums(used[i]));
    const sided = way ? (t) => way * t : Math.abs;
    for (const pair of pairs) {
      pair.used = people.map((i) => pair.by[i] || 0);
      pair.spread = Math.sqrt(sum(pair.used.map((d) => d * d))) || Infinity; // of nothing but 0, the statistic is 0
      pair.seen = sided(sum(pair.used) / pair.spread);
    }
    const upwards = [...pairs].sort((a, b) => a.seen - b.seen), extra = people.length > EXACT ? 1 : 0;
    let highest = null;
    for (const pair of upwards) {
      const both = complete[pair.first] && complete[pair.second];
      const first = both ? signed(pair.first) : signedSums(pair.used), second = both ? signed(pair.second) : null;
      const least = pair.seen - NEAR;
      let alone = extra, stepped = extra;
      highest ??= new Float64Array(first.length).fill(-Infinity);
      for (let i = 0; i < first.length; i++) {
        const t = sided((second ? first[i] - second[i] : first[i]) / pair.spread);
        if (t > highest[i]) highest[i] = t;
        if (t >= least) alone++;
        if (highest[i] >= least) stepped++;
      }
      pair.p = alone / (first.length + extra);
      pair.adjusted = stepped / (first.length + extra);
    }
    let most = 0; // no p is smaller than that of a pair further apart
    for (const pair of upwards.reverse()) pair.adjusted = most = Math.max(most, pair.adjusted);
  }

  // The smallest p that so many people can give: all of them agree.
  const leastP = (people, twoSided) => (twoSided ? 2 : 1) / 2 ** people;

  // A family of pairs of rows (arrays over the same people), those with fewer than two common people left out.
  // `asked` are numbers of rows, all pairs if there are none; `way` as above, of first - second.
  function compare(rows, asked = null, way = 0) {
    const all = asked ?? rows.flatMap((_, a) => rows.slice(a + 1).map((_, b) => [a, a + 1 + b])), pairs = [];
    for (const [first, second] of all) {
      const by = rows[first].map((v, i) => v - rows[second][i]), differences = by.filter((d) => !Number.isNaN(d));
      const people = differences.length;
      if (people > 1) pairs.push({ first, second, people, difference: mean(differences), differences, by });
    }
    maxT(rows, pairs, way);
    return pairs.map(({ first, second, people, difference, differences, p, adjusted }) => ({
      first, second, people, difference, differences, p, adjusted, apart: adjusted < ALPHA,
      undecided: adjusted >= ALPHA && leastP(people, !way) >= ALPHA,
    }));
  }

  // The places that a row may have: after all that are separably better, before all that are separably worse.
  function ranks(rows, pairs, lowerIsBetter) {
    const found = rows.map(() => [1, rows.length]);
    for (const pair of pairs.filter((each) => each.apart)) {
      const firstIsBetter = pair.difference < 0 === lowerIsBetter;
      found[firstIsBetter ? pair.second : pair.first][0]++;
      found[firstIsBetter ? pair.first : pair.second][1]--;
    }
    return found;
  }

  return { mean, meanInterval, compare, ranks, studentQuantile, normalQuantile };
})();
